"""Wishes to end, by SIGTERM or ctrl-C, heard from a command's first line on: nothing is cut off half begun."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_ENDS = (signal.SIGTERM, signal.SIGINT)


def stopped_by_signals() -> threading.Event:
    """Return what SIGTERM and SIGINT set from now on, in place of ending the process at once."""
    stop = threading.Event()
    for number in _ENDS:
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextlib.contextmanager
def heeding_signals() -> Iterator[threading.Event]:
    """Lend what SIGTERM and SIGINT set within the block; outside the main thread signals stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield threading.Event()
        return
    before = {number: signal.getsignal(number) for number in _ENDS}
    try:
        yield stopped_by_signals()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
