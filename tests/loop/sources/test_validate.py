from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.loop.record import REASONS, Record, Reject, Track
from isthmus.loop.sources.validate import validate


def track(agent: str = "a", count: int = 40, v: float = 10.0, **changes: object) -> Track:
    step = np.arange(count, dtype=np.int32)
    x = (step * 0.1 * v).astype(np.float32)
    flat = np.zeros(count, np.float32)
    made = Track(
        agent, step, x, flat, flat.copy(), np.full(count, v, np.float32), np.full(count, np.nan, np.float32)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def record(*tracks: Track, **changes: object) -> Record:
    made = Record("r", 0.1, tracks, "g")
    return replace(made, **changes)  # type: ignore[arg-type]


def put(array: np.ndarray, at: int | slice, value: float) -> np.ndarray:
    changed = array.copy()
    changed[at] = value
    return changed


def test_a_good_record_goes_in_as_it_is() -> None:
    good = record(track(), track("b", v=0.0))
    assert validate(good) == (good, [])


good = track("bad")
FAULTS = {
    "empty": [track("bad", count=0)],
    "not_finite": [
        replace(good, x=put(good.x, 7, math.nan)),
        replace(good, v=put(good.v, 7, math.inf)),
        replace(good, a=put(good.a, 7, -math.inf)),
        replace(good, heading=put(good.heading, 0, math.nan)),
    ],
    "out_of_order": [
        replace(good, step=good.step[::-1].copy()),
        replace(good, step=np.zeros(40, np.int32)),
    ],
    "unreadable": [replace(good, y=good.y[:-1]), replace(good, lane=np.zeros(3, np.int32))],
    "wrong_unit": [
        replace(good, v=good.v * 3.6),  # km/h told as m/s
        replace(good, v=good.v / 3.6),
        replace(good, v=good.v * 2.237),  # mph
        replace(good, v=put(good.v, 3, 130.0)),
        replace(good, x=put(good.x, slice(20, None), 500.0)),
        replace(good, heading=np.full(40, 90.0, np.float32)),  # degrees
        replace(good, a=np.full(40, 80.0, np.float32)),
        replace(good, length=480.0),
        replace(good, width=math.nan),
    ],
}


@pytest.mark.parametrize(("reason", "bad"), [(reason, bad) for reason, some in FAULTS.items() for bad in some])
def test_one_bad_track_is_set_aside_and_the_rest_of_its_record_goes_in(reason: str, bad: Track) -> None:
    kept, rejects = validate(record(track("good"), bad))
    assert kept is not None
    assert [one.agent_id for one in kept.tracks] == ["good"]
    assert [(one.reason, one.where) for one in rejects] == [(reason, "agent bad")]


def test_a_detail_says_what_was_seen_and_where() -> None:
    _, (reject,) = validate(record(track(), replace(good, x=put(good.x, 7, math.nan))))
    assert reject.detail == "x is nan at step 7 (1 in all)"


def test_the_same_agent_twice_is_a_duplicate() -> None:
    kept, rejects = validate(record(track(), track()))
    assert kept is not None and len(kept.tracks) == 1
    assert [reject.reason for reject in rejects] == ["duplicate"]


def test_a_short_track_stays_as_a_neighbour_and_a_short_record_does_not() -> None:
    kept, rejects = validate(record(track(), track("short", count=5)))
    assert kept is not None and len(kept.tracks) == 2 and not rejects
    kept, rejects = validate(record(track(count=20)))
    assert kept is None and [reject.reason for reject in rejects] == ["too_short"]
    assert validate(record(track(count=21)))[0] is not None


def test_a_record_whose_ego_is_lost_is_lost() -> None:
    kept, rejects = validate(record(track(), replace(good, v=good.v * 9), egos=("bad",)))
    assert kept is None
    assert [reject.reason for reject in rejects] == ["wrong_unit", "empty"]


def test_a_record_without_tracks_is_empty() -> None:
    assert [reject.reason for reject in validate(record())[1]] == ["empty"]


def test_a_record_that_loses_all_its_tracks_names_each() -> None:
    kept, rejects = validate(record(track("a", count=0), track("b", count=0)))
    assert kept is None and [reject.where for reject in rejects] == ["agent a", "agent b"]


def test_a_heading_of_a_full_turn_is_brought_into_range() -> None:
    turned = track(heading=np.full(40, 6.0, np.float32))
    kept, rejects = validate(record(turned))
    assert kept is not None and not rejects
    assert np.allclose(kept.tracks[0].heading, 6.0 - 2 * math.pi, atol=1e-6)


def test_one_noisy_acceleration_is_no_wrong_unit() -> None:
    assert validate(record(track(a=put(good.a, 5, 90.0))))[0] is not None


def test_a_broken_map_hint_is_left_out_alone() -> None:
    lines = (np.zeros((3, 2), np.float32), np.full((2, 2), np.nan, np.float32))
    kept, rejects = validate(record(track(), lanes=lines))
    assert kept is not None and len(kept.lanes) == 1
    assert [reject.where for reject in rejects] == ["lane line 1"]


floats = hnp.arrays(np.float32, 30, elements=st.floats(width=32) | st.floats(-30, 30, width=32))
steps = hnp.arrays(np.int32, 30, elements=st.integers(-(2**31), 2**31 - 1)) | st.just(
    np.arange(30, dtype=np.int32)
)


@given(steps, floats, floats, floats, floats, floats)
def test_whatever_comes_what_goes_in_is_sound(
    step: np.ndarray, x: np.ndarray, y: np.ndarray, heading: np.ndarray, v: np.ndarray, a: np.ndarray
) -> None:
    kept, rejects = validate(record(Track("a", step, x, y, heading, v, a), track("good")))
    assert all(isinstance(reject, Reject) and reject.reason in REASONS and reject.detail for reject in rejects)
    assert kept is not None
    for one in kept.tracks:
        assert (np.diff(one.step.astype(np.int64)) > 0).all()
        assert all(np.isfinite(array).all() for array in (one.x, one.y, one.heading, one.v))
        assert not np.isinf(one.a).any()
        assert np.abs(one.heading.astype(np.float64)).max() <= math.pi
    assert validate(kept)[1] == []
