from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from isthmus.core.errors import InputError
from isthmus.loop.mining import near
from isthmus.loop.mining.near import NearDuplicates, within

Vectors = NDArray[np.float32]

COARSE = hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.integers(1, 4)), elements=st.integers(-4, 4))
FINE = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 30), st.integers(1, 5)),
    elements=st.floats(-1e3, 1e3, width=32) | st.just(float("nan")),
)
WILD = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 12), st.integers(1, 3)),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
)
THRESHOLD = st.integers(0, 6).map(lambda n: n / 2) | st.floats(0, 1e4)


def square(one: Vectors, other: Vectors) -> float:
    return float(((one.astype(np.float64) - other.astype(np.float64)) ** 2).sum())


def greedy(vectors: Vectors, threshold: float) -> list[bool]:
    kept: list[Vectors] = []
    keep = []
    for vector in vectors:
        comparable = bool(np.isfinite(vector).all())
        alone = not comparable or all(square(vector, other) > threshold**2 for other in kept)
        keep.append(alone)
        if alone and comparable:
            kept.append(vector)
    return keep


@given(COARSE | FINE | WILD, THRESHOLD)
def test_no_two_kept_are_within_the_threshold_and_each_left_out_has_a_kept_one_within(
    vectors: Vectors, threshold: float
) -> None:
    keep = NearDuplicates(threshold).keep(vectors)
    sound = np.isfinite(vectors).all(axis=1)
    kept = vectors[keep & sound]
    for index, one in enumerate(kept):
        assert all(square(one, other) > threshold**2 for other in kept[:index])
    for one in vectors[~keep]:
        assert any(square(one, other) <= threshold**2 for other in kept)
    assert keep[~sound].all()


@given(
    COARSE | FINE | WILD, THRESHOLD, st.lists(st.integers(1, 9), min_size=1), st.integers(1, 7), st.integers(1, 7)
)
def test_blocks_and_calls_change_nothing(
    vectors: Vectors, threshold: float, calls: list[int], rows: int, columns: int
) -> None:
    judge, parts, start, turn = NearDuplicates(threshold), [], 0, 0
    before = near._ROWS, near._COLUMNS
    near._ROWS, near._COLUMNS = rows, columns
    try:
        while start < len(vectors):
            size = calls[turn % len(calls)]
            parts.append(judge.keep(vectors[start : start + size]))
            start, turn = start + size, turn + 1
    finally:
        near._ROWS, near._COLUMNS = before
    keep = np.concatenate(parts) if parts else np.zeros(0, np.bool_)
    assert keep.tolist() == greedy(vectors, threshold)


def test_a_pair_just_at_the_threshold_gets_the_same_answer_in_every_block() -> None:
    vectors = np.random.default_rng(3).normal(size=(300, 32)).astype(np.float32)
    for i, j in [(0, 1), (5, 200), (123, 299)]:
        exact = square(vectors[i], vectors[j])
        for shape in (300, 64, 3):
            left, right = vectors[[i]], np.roll(vectors, -j, axis=0)[:shape]
            assert within(left, right, exact)[0, 0]
            assert not within(left, right, np.nextafter(exact, 0))[0, 0]


def test_a_threshold_of_zero_leaves_out_equal_vectors_alone() -> None:
    vectors = np.array([[1e6, 1], [1e6, 1], [1e6, np.nextafter(np.float32(1), np.float32(2))]], np.float32)
    assert NearDuplicates(0).keep(vectors).tolist() == [True, False, True]


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf")])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: float) -> None:
    with pytest.raises(InputError):
        NearDuplicates(threshold)
