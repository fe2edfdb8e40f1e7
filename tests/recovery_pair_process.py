"""One action of one site of a pair in a process of its own, which kills itself (-9) at its n-th step.

    python tests/recovery_pair_process.py <folder> <site> <action> <seconds since the beginning> <n>

`n` 0 kills never. The actions are those of `ACTIONS`; <folder> is one that `recovery_pair.make_sites` filled.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from isthmus.app.recovery import roles
from isthmus.app.recovery.site import RecoverySite
from recovery_pair import open_site
from transfer_doubles import BEGIN, HandClock


def turn(site: RecoverySite) -> None:
    """Take a turn."""
    site.pair.turn()


def hand_over(site: RecoverySite) -> None:
    """Keep the writers out, take the last round and send it."""
    roles.alone(site, site.turnover.hand_over)
    site.pair.turn()


def give_up(site: RecoverySite) -> None:
    """Let the writers in again."""
    roles.alone(site, site.turnover.give_up)
    site.pair.turn()


def fail_over(site: RecoverySite) -> None:
    """Take over."""
    roles.fail_over(site)
    site.pair.turn()


def fail_back(site: RecoverySite) -> None:
    """Follow the site that took over."""
    roles.fail_back(site, 0.0, lambda said: None)
    site.pair.turn()


def leave(site: RecoverySite) -> None:
    """Leave the pair."""
    what = "backup" if site.pair.fence.role == "primary" else "restore"
    site.notes.put(**{f"{what} stopped": "yes"})
    roles.leave(site)
    site.pair.turn()


ACTIONS: dict[str, Callable[[RecoverySite], None]] = {
    one.__name__: one for one in (turn, hand_over, give_up, fail_over, fail_back, leave)
}


def main(folder: str, name: str, action: str, seconds: str, at: str) -> None:
    """Do one action, and die on the way."""
    left = int(at)

    def step(told: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    clock = HandClock(BEGIN + timedelta(seconds=float(seconds)))
    ACTIONS[action](open_site(Path(folder), name, clock, step))


if __name__ == "__main__":
    main(*sys.argv[1:])
