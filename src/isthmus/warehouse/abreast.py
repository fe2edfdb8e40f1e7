"""Reads several streams at once, each on a thread of its own, and hands their items on as they come."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

_WAIT_S = 0.1
_WAITING = 2
"""Items that wait per thread: enough that no thread idles, few enough that memory stays small."""
_MOST_READERS = 4


def readers() -> int:
    """Tell how many streams are worth reading at once: decoding takes one core each."""
    return min(_MOST_READERS, os.cpu_count() or 1)


class _Ended:
    """A thread has no stream left, or broke."""

    def __init__(self, future: Future[None]) -> None:
        self.future = future


def abreast(streams: Sequence[Callable[[], Iterator[Item]]], width: int) -> Iterator[Item]:
    """Yield the items of all streams, `width` streams at a time, in no order that is promised.

    The first error of a stream is raised here. Closing the generator stops the threads before it returns.
    """
    if width <= 1 or len(streams) <= 1:
        for stream in streams:
            yield from stream()
        return
    coming: queue.SimpleQueue[Item | _Ended] = queue.SimpleQueue()
    room = threading.Semaphore(_WAITING * width)
    waiting = iter(streams)
    turn, stopped = threading.Lock(), threading.Event()

    def read() -> None:
        while not stopped.is_set():
            with turn:
                stream = next(waiting, None)
            if stream is None:
                return
            for item in stream():
                while not room.acquire(timeout=_WAIT_S):
                    if stopped.is_set():
                        return
                coming.put(item)

    with ThreadPoolExecutor(width, "abreast") as pool:
        for _ in range(width):
            pool.submit(read).add_done_callback(lambda future: coming.put(_Ended(future)))
        try:
            ended = 0
            while ended < width:
                item = coming.get()
                if isinstance(item, _Ended):
                    item.future.result()  # raises what broke the thread
                    ended += 1
                else:
                    room.release()
                    yield item
        finally:
            stopped.set()
