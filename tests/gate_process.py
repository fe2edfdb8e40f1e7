"""One side of a gate in a process of its own, which kills itself (-9) at a named step.

    python tests/gate_process.py sender|receiver <folder> <format> <step> <time> [<parallel>]

`<step>` is `name` or `name#n` for its n-th time; `-` kills never. All is under <folder>: key, state, outbox,
the gate's two ends `inside` and `outside`, staging.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from gate_bench import LIMITS, receiving, sending
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate
from isthmus.transfer.inbound import Inbound
from isthmus.transfer.outbound import Outbound
from isthmus.transfer.signing import SigningKey
from transfer_doubles import BEGIN, HandClock, ListSource, StoreTarget

CHANGES = 12


def killer(at: str) -> Callable[[str], None]:
    """Make a step hook that kills the process at a step."""
    name, _, number = at.partition("#")
    left = int(number or 1)

    def step(told: str) -> None:
        nonlocal left
        if told == name:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return step


def scripted(changes: int) -> ListSource:
    """A source with so many changes, the same each time."""
    source = ListSource()
    for number in range(changes):
        source.change(f"k{number % 5}", f"{number}" * 30 if number % 7 else None)
    return source


def sender(
    folder: Path, form: str, step: Callable[[str], None], now: float, keep: int = 3, parallel: int = 1
) -> Outbound:
    """Open the sender of a folder, at a number of seconds after the beginning."""
    settings = sending(
        format=form, cut_bytes=150, heartbeat_s=10.0, snapshot_s=10.0, carousel_files=2, carousel_s=10.0,
        keep_files=keep, parallel=parallel,
    )  # fmt: skip
    clock = HandClock(BEGIN + timedelta(seconds=now))
    key = SigningKey.load(folder / "key.pem")
    carrier = Gate(folder / "inside", step)
    store = Store(folder / "inner.db")
    return Outbound(store, folder / "outbox", scripted(CHANGES), carrier, key, "inner", clock, settings, step)


def receiver(folder: Path, step: Callable[[str], None], now: float) -> tuple[Inbound, StoreTarget]:
    """Open the receiver of a folder, at a number of seconds after the beginning."""
    store = Store(folder / "outer.db")
    target = StoreTarget(store)
    allowed = {"faces": frozenset((SigningKey.load(folder / "key.pem").public,))}
    clock = HandClock(BEGIN + timedelta(seconds=now))
    carrier = Gate(folder / "outside", step)
    inbound = Inbound(
        store, folder / "staging", target, carrier, allowed, LIMITS, clock, receiving(), step=step
    )  # fmt: skip
    return inbound, target


def main(side: str, folder: str, form: str, at: str, now: str, parallel: str = "1") -> None:
    """Do one round."""
    if side == "sender":
        keep = 3 if parallel == "1" else 100
        sender(Path(folder), form, killer(at), float(now), keep, int(parallel)).step()
    else:
        receiver(Path(folder), killer(at), float(now))[0].step()


if __name__ == "__main__":
    main(*sys.argv[1:])
