"""Waiting for the end of a work, in a thread that has nothing else to do."""

from __future__ import annotations

import threading
import time

from isthmus.app.works.runner import Runner
from isthmus.app.works.work import ENDED, Work


def wait_for(runner: Runner, id: str, for_s: float) -> Work:
    """Wait until a work has ended, for so long at most; returns it as it stands then. Raises UnknownName."""
    ended, until = threading.Event(), time.monotonic() + for_s
    leave, _ = runner.watch(lambda one: ended.set() if one.what == "ended" and one.work.id == id else None)
    try:
        while (work := runner.get(id)).state not in ENDED and (left := until - time.monotonic()) > 0:
            ended.wait(left)
    finally:
        leave()
    return work
