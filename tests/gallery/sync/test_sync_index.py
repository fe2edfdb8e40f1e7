"""The server's index of a large gallery is merged beside the event loop, and to the same end as one by one."""

from __future__ import annotations

import asyncio
import random
import threading

import numpy as np

from isthmus.core.digest import Digest
from isthmus.gallery.sync import index
from isthmus.gallery.sync.index import Touched, View


def drawn(draw: random.Random, count: int, known: list[bytes] = []) -> Touched:  # noqa: B006 - never changed
    places = [draw.randbytes(8) for _ in range(count)] + known
    return {place: (b"key" + place, None if draw.random() < 0.1 else draw.randbytes(32)) for place in places}


def assert_is(view: View, wanted: dict[bytes, tuple[bytes, bytes]]) -> None:
    order = sorted(wanted)
    assert view.hashes.astype(">u8").tobytes() == b"".join(order)
    assert view.lanes.astype("<u8").tobytes() == b"".join(wanted[place][1] for place in order)
    assert view.keys.tolist() == [wanted[place][0] for place in order]
    digest = Digest()
    for _, lanes in wanted.values():
        digest = digest.plus(lanes)
    assert view.digest == digest.lanes


def test_merging_many_and_few_ends_as_keeping_a_dictionary_does() -> None:
    draw = random.Random(20261122)
    view, wanted = index._empty(0), dict[bytes, tuple[bytes, bytes]]()
    for number, count in enumerate((120_000, 0, 300, 2), 1):
        touched = drawn(draw, count, draw.sample(sorted(wanted), min(len(wanted), 5_000)))
        view = index._merged(view, number, touched)
        for place, (key, lanes) in touched.items():
            wanted.pop(place, None)
            if lanes is not None:
                wanted[place] = (key, lanes)
        assert_is(view, wanted)
    assert view.change == 4


def test_a_large_gallery_is_worked_on_by_another_thread_and_a_small_one_here() -> None:
    async def where(count: int) -> int:
        return await index.large(count, threading.get_ident)

    assert asyncio.run(where(10)) == threading.get_ident()
    assert asyncio.run(where(1_000_000)) != threading.get_ident()


def test_a_view_finds_only_what_is_there() -> None:
    touched = drawn(random.Random(1), 50)
    view = index._merged(index._empty(0), 1, touched)
    there = [place for place, (_, lanes) in touched.items() if lanes is not None]
    asked = np.array([int.from_bytes(place, "big") for place in [*there, b"elsewhere"[:8]]], np.uint64)
    assert len(view.at(asked)) == len(there)
