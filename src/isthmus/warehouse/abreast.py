"""Reads several streams at once, each on a thread of its own, and hands their items on as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

_WAIT_S = 0.1
_WAITING = 2
"""Items that wait per thread: enough that no thread idles, few enough that memory stays small."""


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class _Ended:
    """A thread has no stream left."""


def abreast(streams: Sequence[Callable[[], Iterator[Item]]], width: int) -> Iterator[Item]:
    """Yield the items of all streams, `width` streams at a time, in no order that is promised.

    The first error of a stream is raised here. Closing the generator stops the threads before it returns.
    """
    if width <= 1 or len(streams) <= 1:
        for stream in streams:
            yield from stream()
        return
    coming: queue.Queue[Item | _Failed | _Ended] = queue.Queue(_WAITING * width)
    todo = iter(streams)
    turn, stopped = threading.Lock(), threading.Event()

    def put(item: Item | _Failed | _Ended) -> None:
        while not stopped.is_set():
            try:
                return coming.put(item, timeout=_WAIT_S)
            except queue.Full:
                continue

    def read() -> None:
        try:
            while not stopped.is_set():
                with turn:
                    stream = next(todo, None)
                if stream is None:
                    break
                for item in stream():
                    put(item)
                    if stopped.is_set():
                        break
        except BaseException as error:  # handed to the reader, who raises it
            put(_Failed(error))
        else:
            put(_Ended())

    threads = [threading.Thread(target=read, name=f"abreast-{n}", daemon=True) for n in range(width)]
    for thread in threads:
        thread.start()
    try:
        ended = 0
        while ended < width:
            item = coming.get()
            if isinstance(item, _Failed):
                raise item.error
            if isinstance(item, _Ended):
                ended += 1
            else:
                yield item
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
