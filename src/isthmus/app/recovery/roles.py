"""Changes of role as a person orders them: switchover, failover, failback, leaving the pair."""

from __future__ import annotations

import contextlib
import getpass
import time
from collections.abc import Callable
from typing import TypeVar

from isthmus.app.recovery.site import RecoverySite
from isthmus.core.errors import Busy, InputError, IsthmusError, Refused
from isthmus.recovery.barrier import Barrier
from isthmus.recovery.fork import Parted
from isthmus.recovery.roles import RULING
from isthmus.recovery.turnover import Loss
from isthmus.state.lock import patiently
from isthmus.warehouse.name import TableName

T = TypeVar("T")
Say = Callable[[str], None]
_LOOK_S = 0.2
_PATIENCE_S = 60.0


def switch_over(site: RecoverySite, wait_s: float, say: Say, pause: Callable[[float], None] = time.sleep) -> None:
    """Hand the tables over and wait until the other site has taken them.

    Raises Refused where this site or the other is not as it must be, Busy where the other does not answer in time:
    the switchover then goes on by itself with this site's turns, unless it is given up.
    """
    if not site.answers:
        raise Refused(
            "the road gate brings nothing back, so nothing can be handed over without loss",
            "stop the writers, let the last round arrive, then: isthmus recovery failover at the standby",
        )
    alone(site, lambda: _hand_over(site, say))
    role, until = _turned(site, say), time.monotonic() + wait_s
    while role == "yielding":
        if time.monotonic() >= until:
            raise Busy(
                f"{site.part.peer} has not taken over yet",
                "it goes on by itself; run the same again to wait, or give up before the last round has left",
            )
        pause(_LOOK_S)
        role = _turned(site, say)
    if role != "standby":
        raise Refused(f"the switchover ended with this site {role}", "see: isthmus recovery status")


def alone(site: RecoverySite, work: Callable[[], T]) -> T:
    """Do work between the turns of this site, also where a server takes them. Raises Busy where one lasts long."""

    def locked() -> T:
        with site.alone():
            return work()

    return patiently(locked)


def _hand_over(site: RecoverySite, say: Say) -> None:
    """Keep the writers out, where that was not done before. Raises Refused."""
    fence, other = site.pair.fence, site.pair.other()
    if fence.role == "primary":
        if other is None or other.role != "standby" or other.epoch != fence.epoch:
            raise Refused(
                f"{site.part.peer} does not follow this site now",
                "see that it runs: isthmus recovery status there",
            )
        site.audit.note(getpass.getuser(), "switchover", subject=site.part.peer)
        site.turnover.hand_over()
        say("the writers are kept out")
    elif fence.role != "yielding":
        raise Refused(f"this site is {fence.role}: only a primary hands over", "order it at the primary")


def _turned(site: RecoverySite, say: Say) -> str:
    """Take a turn; return the role after it."""
    for event in patiently(site.pair.turn, for_s=_PATIENCE_S):
        say(event)
    return site.pair.fence.role


def loss_of(site: RecoverySite) -> Loss:
    """Say what a failover would leave behind. Raises Refused at a site that is no standby."""
    fence, other = site.pair.fence, site.pair.other()
    if fence.role == "primary":
        raise Refused("this site is the primary already", "see: isthmus recovery status")
    if other is None:
        return site.turnover.loss("", None)
    ahead = other.site if other.role == fence.role == "standby" and other.epoch > fence.epoch else ""
    return site.turnover.loss(other.barrier, other.barrier_at, ahead)


def fail_over(site: RecoverySite) -> str:
    """Take over from a lost primary; return it in words. Never shows, nor goes on from, a half round."""
    return alone(site, lambda: _fail_over(site))


def _fail_over(site: RecoverySite) -> str:
    loss, other = loss_of(site), site.pair.other()
    if not loss.shown and site.pair.fence.role == "standby":
        raise Refused("no round had come whole: there is nothing to take over", "restore the primary")
    latest = site.inbound.status().latest
    heard = max(other.epoch if other else 0, latest.epoch if latest else 0)
    told = site.turnover.take_over("failover", heard)
    site.audit.note(getpass.getuser(), "failover", subject=loss.shown, detail=str(loss))
    with contextlib.suppress(IsthmusError, OSError):  # the lost site can wait: the next turn tells it again
        site.pair.tell(site.clock.now())
    return told


def fail_back(
    site: RecoverySite, wait_s: float, say: Say, pause: Callable[[float], None] = time.sleep
) -> list[tuple[Parted, TableName]]:
    """Follow the site that took over. Return what this one had alone, and the names it is kept under.

    Raises Refused where no later primary was heard of, or its inventory has not come.
    """
    found, before = alone(site, lambda: _fail_back(site, say))
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        for event in patiently(site.pair.turn, for_s=_PATIENCE_S):
            say(event)
        now = site.landing.barrier()
        if now is not None and (before is None or now.key != before.key):
            break
        pause(_LOOK_S)
    return found


def _fail_back(site: RecoverySite, say: Say) -> tuple[list[tuple[Parted, TableName]], Barrier | None]:
    """Follow the other site; return what this one had alone, and the barrier that it shows."""
    other, fence = site.pair.other(), site.pair.fence
    if other is None or other.role != "primary" or other.epoch <= fence.epoch:
        raise Refused(
            f"{site.part.peer} was not heard of as the primary of a later epoch than {fence.epoch}",
            "see that it runs and that its reports arrive: isthmus recovery status",
        )
    theirs = site.post.inventory()
    if theirs is None:
        raise Refused(f"the inventory of {site.part.peer} has not come", "wait for its next report")
    found = site.turnover.fail_back(theirs, other.epoch, other.site)
    site.audit.note(
        getpass.getuser(), "failback", subject=other.site, detail=", ".join(str(name) for _, name in found)
    )
    say(f"this site is the standby of {other.site} in epoch {other.epoch}")
    return found, site.landing.barrier()


def leave(site: RecoverySite) -> None:
    """Make the site independent, and remove what waited. Raises Refused before the rounds were stopped."""
    alone(site, lambda: _leave(site))


def _leave(site: RecoverySite) -> None:
    fence, notes = site.pair.fence, site.notes
    if fence.role == "independent" and not notes["left"]:
        raise InputError("this site is independent already", "isthmus recovery start lets it take part again")
    what = "backup" if fence.role in RULING else "restore"
    if fence.role not in ("fenced", "independent") and not notes[f"{what} stopped"]:
        raise Refused(
            f"the rounds have not been stopped: this site is {fence.role}", f"isthmus recovery stop-{what}"
        )
    if fence.role != "independent":  # else it left, and was cut short
        site.audit.note(getpass.getuser(), "set-independent", subject=fence.role)
        site.turnover.leave()
    site.turnover.forget()
    for name in ("backup", "outbox", "inbox", "landing"):
        for file in (site.folder / name).rglob("*"):
            kept = "rogue" in file.relative_to(site.folder).parts  # what was written here, and set aside
            if file.is_file() and file.name != ".lock" and not kept:
                file.unlink(missing_ok=True)  # the folders stay: a server may be at work in them
    if site.lists.is_dir():
        (site.lists / site.part.csv).unlink(missing_ok=True)
