"""Streams read at once lose nothing, raise what goes wrong and stop when nobody reads on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.warehouse.abreast import abreast


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("abreast")]


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=6), st.integers(0, 5))
def test_every_item_comes_once_whatever_the_width(lists: list[list[int]], width: int) -> None:
    """The bag of items is that of all streams together."""
    come = list(abreast([partial(iter, items) for items in lists], width))
    assert Counter(come) == Counter(item for items in lists for item in items)


def test_the_error_of_a_stream_reaches_the_reader_and_no_thread_is_left() -> None:
    """A stream that breaks in its middle is not taken for one that ended."""

    def breaks() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(abreast([breaks, partial(iter, range(100_000))], 2))
    assert _threads() == []


def test_a_reader_that_stops_early_leaves_no_thread_behind() -> None:
    """Closing the generator ends the threads although they have far more to hand on."""
    items = abreast([partial(iter, range(1_000_000)) for _ in range(3)], 3)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert _threads() == []
