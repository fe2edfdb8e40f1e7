from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.filing.arena import Arena, shared

_SIZE = 1 << 20


@given(st.lists(st.tuples(st.integers(0, 1), st.lists(st.integers(0, 90_000), max_size=4)), max_size=40))
def test_what_was_laid_down_is_read_until_it_is_given_back_and_all_room_comes_back(
    steps: list[tuple[int, list[int]]],
) -> None:
    arena = Arena(_SIZE)
    worker = shared(arena.handle)
    there: dict[int, tuple[int, bytes]] = {}
    for number, (removes, sizes) in enumerate(steps, 1):
        if removes and there:
            gone = sorted(there)[len(sizes) % len(there)]
            del there[gone]
            arena.give_back(gone)
        contents = [os.urandom(size) for size in sizes]
        at = arena.lay(number, contents)
        if at >= 0:
            there[number] = at, b"".join(contents)
        for place, whole in there.values():
            assert worker[place : place + len(whole)] == whole
    for number in [*there, 0, 10**6]:
        arena.give_back(number)
    assert arena.lay(10**7, [bytes(_SIZE)]) == 0
    arena.close()
    assert len(worker) == _SIZE
    worker.release()


def test_what_does_not_fit_is_not_laid_down_and_the_worker_cannot_write() -> None:
    arena = Arena(_SIZE)
    worker = shared(arena.handle)
    assert arena.lay(1, [bytes(_SIZE), b"x"]) == -1
    assert arena.lay(2, []) == -1
    assert worker.readonly
    arena.close()
