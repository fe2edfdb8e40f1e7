from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.gallery.calibrate import calibrate
from isthmus.imaging.port import Metric, Model

MODEL = Model("test", Metric.EUCLIDEAN, 128, 0.5, 200.0)


def _people(count: int, each: int, spread: float, seed: int = 1) -> tuple[list[bytes], list[int]]:
    """Make vectors of people who lie `spread` × 16 apart on average; pictures of one lie about 0.2 apart."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, spread, (count, 1, 128))
    pictures = (centres + rng.normal(0, 0.0125, (count, each, 128))).reshape(-1, 128)
    stored = np.rint(pictures * 200).clip(-127, 127).astype(np.int8)
    return [row.tobytes() for row in stored], [number // each for number in range(count * each)]


def test_a_gallery_of_people_far_apart_keeps_the_threshold_of_its_model() -> None:
    found = calibrate(*_people(60, 3, 0.08), MODEL)
    assert found.threshold == 0.5
    assert (found.false_identification, found.missed) == (0.0, 0.0)
    assert (found.strangers, found.genuine, found.enough) == (180, 180, True)


def test_a_gallery_of_people_who_look_alike_gets_a_tighter_threshold() -> None:
    found = calibrate(*_people(60, 3, 0.025), MODEL)
    assert found.threshold < 0.4
    assert found.false_identification is not None
    assert found.false_identification <= 0.01


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 40),
    st.integers(1, 3),
    st.floats(0.005, 0.06),
    st.sampled_from([0.001, 0.01, 0.05, 0.3]),
    st.integers(0, 9),
)
def test_the_estimate_never_exceeds_the_target_and_the_threshold_never_the_models(
    count: int, each: int, spread: float, target: float, seed: int
) -> None:
    found = calibrate(*_people(count, each, spread, seed), MODEL, target)
    assert 0 <= found.threshold <= MODEL.threshold
    assert found.false_identification is not None
    assert found.false_identification <= target
    assert found.enough == (target * (count * each + 1) >= 1)
    assert (found.missed is None) == (each == 1)


def test_strangers_who_were_not_seen_are_rarely_taken_for_somebody() -> None:
    vectors, people = _people(700, 2, 0.02)
    found = calibrate(vectors[:1200], people[:1200], MODEL, target=0.02)
    enrolled = np.stack([np.frombuffer(v, np.int8) for v in vectors[:1200]]).astype(float) / 200
    strangers = np.stack([np.frombuffer(v, np.int8) for v in vectors[1200:]]).astype(float) / 200
    apart = np.linalg.norm(strangers[:, None] - enrolled[None], axis=2).min(axis=1)
    assert found.threshold < 0.5
    assert (apart <= found.threshold).mean() < 0.06  # the target, and the chance of 200 strangers


def test_one_person_or_none_keeps_the_models_threshold_and_says_that_nothing_is_known() -> None:
    for vectors in ([], _people(1, 5, 0.05)[0]):
        found = calibrate(vectors, [0] * len(vectors), MODEL)
        assert (found.threshold, found.false_identification, found.enough) == (0.5, None, False)


def test_float16_and_hamming_models_are_calibrated_too() -> None:
    vectors, people = _people(40, 2, 0.02)
    halves = [(np.frombuffer(v, np.int8) / 200).astype("<f2").tobytes() for v in vectors]
    wide = calibrate(halves, people, Model("wide", Metric.EUCLIDEAN, 256, 0.5), 0.05)
    assert wide.threshold == pytest.approx(calibrate(vectors, people, MODEL, 0.05).threshold, abs=0.002)
    bits = [b"\0" * 8, b"\0" * 7 + b"\7", b"\xff" * 8]
    found = calibrate(bits, ["a", "b", "c"], Model("bits", Metric.HAMMING, 8, 10.0), 0.5)
    assert (found.threshold < 3.0, found.false_identification, found.missed) == (True, 0.0, None)


@pytest.mark.parametrize(
    ("vectors", "people", "target"), [([bytes(128)], [], 0.1), ([bytes(5)], [1], 0.1), ([bytes(128)], [1], 1.0)]
)
def test_what_cannot_be_calibrated_is_refused(vectors: list[bytes], people: list[int], target: float) -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        calibrate(vectors, people, MODEL, target)
