"""The guided acts of a pair: what is looked at before a switchover, a failover or a failback, decided without I/O.

| act | where | what it does | what may be lost |
|---|---|---|---|
| switchover | at the primary, both sites run | the writers wait, the other site takes over | nothing |
| failover | at the standby, the primary is lost | goes on from the last whole barrier | later writes |
| failback | at the old primary, fenced off | follows the new primary | nothing: it is kept aside |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

from isthmus.app.views.recovery import OtherSeen, RecoverySeen

Act = Literal["switchover", "failover", "failback"]
ACTS: tuple[Act, ...] = get_args(Act)
Verdict = Literal["well", "wrong", "beware"]
_ALIVE = timedelta(minutes=2)
"""A site that was heard so recently is taken to live."""


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at. `wrong` forbids the act, `beware` is to be read and may be passed over.

    The faces find the words by `name` and `verdict`; `values` stand in them.
    """

    name: str
    verdict: Verdict
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guide:
    """An act before it is done. `word` is what must be typed, `possible` whether nothing forbids it."""

    act: Act
    looks: tuple[Look, ...]
    word: str
    possible: bool


def guide_of(act: Act, seen: RecoverySeen) -> Guide:
    """Look at everything that an act needs."""
    looks = {"switchover": _switchover, "failover": _failover, "failback": _failback}[act]
    found = tuple(looks(seen))
    word = seen.site if act == "failover" else seen.peer
    return Guide(act, found, word, all(look.verdict != "wrong" for look in found))


def offered(seen: RecoverySeen) -> tuple[Act, ...]:
    """Return the acts that fit the role of a site."""
    by_role: dict[str, tuple[Act, ...]] = {
        "primary": ("switchover",),
        "yielding": ("switchover", "failover"),
        "standby": ("failover",),
        "fenced": ("failback", "failover"),
    }
    return by_role.get(seen.role, ())


def _switchover(seen: RecoverySeen) -> Iterator[Look]:
    yield _role(seen, ("primary", "yielding"))
    yield Look("road", "well" if seen.answers else "wrong", {"road": seen.road})
    other = seen.other
    if other is None:
        yield Look("follows", "wrong", {"peer": seen.peer, "role": "-", "epoch": 0})
        return
    follows = other.role == "standby" and other.epoch == seen.epoch
    yielding = seen.role == "yielding"  # it goes on: the other one may have taken over meanwhile
    yield Look("follows", "well" if follows or yielding else "wrong", _of(other))
    yield Look("heard", "well" if _heard(seen, other) else "beware", _of(other))
    yield Look("missing", "well" if not other.missing else "beware", {"count": other.missing, "peer": other.site})
    level = not seen.shows or other.barrier == seen.shows
    yield Look("level", "well" if level else "beware", {"theirs": other.barrier or "-", "ours": seen.shows or "-"})
    yield Look("stopped", "beware" if seen.stopped else "well")
    yield _alarms(seen)


def _failover(seen: RecoverySeen) -> Iterator[Look]:
    yield _role(seen, ("standby", "yielding", "fenced"))
    if seen.role == "standby":
        yield Look("whole", "well" if seen.shows else "wrong", {"shows": seen.shows or "-"})
        yield Look("unapplied", "beware" if seen.lag else "well", {"count": seen.lag})
        yield Look("damaged", "beware" if seen.missing else "well", {"count": seen.missing})
    other = seen.other
    if other is not None:
        lives = _heard(seen, other) and other.role in ("primary", "yielding")
        yield Look("lives", "beware" if lives else "well", _of(other))
        ahead = other.role == seen.role == "standby" and other.epoch > seen.epoch
        yield Look("ahead", "beware" if ahead else "well", _of(other))
    yield _alarms(seen)


def _failback(seen: RecoverySeen) -> Iterator[Look]:
    yield _role(seen, ("fenced", "primary"))
    other = seen.other
    if other is None:
        yield Look("successor", "wrong", {"peer": seen.peer, "role": "-", "epoch": 0})
        return
    later = other.role == "primary" and other.epoch > seen.epoch
    yield Look("successor", "well" if later else "wrong", _of(other))
    yield Look("heard", "well" if _heard(seen, other) else "beware", _of(other))
    yield _alarms(seen)


def _role(seen: RecoverySeen, wanted: tuple[str, ...]) -> Look:
    return Look("role", "well" if seen.role in wanted else "wrong", {"role": seen.role, "wanted": wanted[0]})


def _alarms(seen: RecoverySeen) -> Look:
    return Look("alarms", "beware" if seen.alarms else "well", {"count": len(seen.alarms)})


def _heard(seen: RecoverySeen, other: OtherSeen) -> bool:
    return seen.now - other.made < _ALIVE


def _of(other: OtherSeen) -> dict[str, Any]:
    return {"peer": other.site, "role": other.role, "epoch": other.epoch, "made": other.made}
