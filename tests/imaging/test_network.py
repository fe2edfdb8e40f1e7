"""Models in ONNX: proven by what they gave elsewhere, run by name, and as extractors of pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from isthmus.core.errors import Corrupt, InputError
from isthmus.imaging.network import Network, NetworkExtractor, Sight, Told
from isthmus.imaging.port import Metric
from model_making import SIGHT, SIZE, embedder


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(embedder(1), "see")


def test_a_model_proves_itself_and_no_other(network: Network) -> None:
    proof = network.proof()
    assert [(one.name, one.shape, len(one.values)) for one in proof] == [("vector", (1, SIZE), SIZE)]
    network.prove(proof)
    Network(embedder(1, padding=9), "padded").prove(proof)
    with pytest.raises(Corrupt, match="gives another vector"):
        Network(embedder(2), "other").prove(proof)
    with pytest.raises(Corrupt):
        network.prove([Told("nothing", (1,), (0.0,))])
    with pytest.raises(Corrupt):
        network.prove([dataclasses.replace(proof[0], values=(None,) * SIZE)])


def test_the_example_is_the_same_everywhere(network: Network) -> None:
    example = network.example()["picture"]
    assert example.shape == (1, 3, 8, 8)
    assert (example.dtype, example.min() >= 0, example.max() < 1) == (np.float32, True, True)
    assert example.reshape(-1)[:3].tolist() == pytest.approx([0.861038208, 0.516204834, 0.888610840], abs=1e-6)


def test_what_is_no_model_or_does_not_fit_is_told_in_a_line(network: Network) -> None:
    with pytest.raises(Corrupt, match="no ONNX model that runs here"):
        Network(b"nothing", "nothing")
    with pytest.raises(InputError, match="takes picture"):
        network.run({"image": np.zeros(3)})
    with pytest.raises(InputError, match="cannot be run"):
        network.run({"picture": np.zeros((1, 3, 9, 9), np.float32)})


def test_an_extractor_gives_vectors_of_length_1_that_tell_pictures_apart(network: Network) -> None:
    extractor = NetworkExtractor(network, SIGHT, "model/see/1/0123")
    assert extractor.model.metric is Metric.EUCLIDEAN
    assert (extractor.model.name, extractor.model.size) == ("model/see/1/0123", 2 * SIZE)
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 255, (40, 60, 3), np.uint8)
    near, far = picture ^ 1, draw.integers(0, 255, (40, 60, 3), np.uint8)
    vectors = [np.frombuffer(extractor.extract(one) or b"", "<f2").astype(float) for one in (picture, near, far)]
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(vectors[0] - vectors[1]) < 0.1 < np.linalg.norm(vectors[0] - vectors[2])
    assert extractor.extract(np.zeros((9, 9, 3), np.uint8)) is None, "nothing to see, nothing to compare"


def test_a_picture_is_given_as_the_model_wants_it() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    sight = Sight(2, 3, 4, 1.0, "nhwc", (100.0, 0.0, 0.0), (50.0, 1.0, 1.0), bgr=False)
    assert sight.given(red).shape == (1, 3, 2, 3)
    assert sight.given(red)[0, 0, 0].tolist() == [2.0, 0.0, 0.0]
    assert dataclasses.replace(sight, bgr=True, layout="nchw").given(red)[0, :, 0, 0].tolist() == [
        -2.0,
        0.0,
        200.0,
    ]


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"size": 0}, {"layout": "chw"}, {"threshold": 0.0}, {"std": (1.0, 0.0, 1.0)}]
)
def test_a_sight_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is nchw|lie between|above 0"):
        dataclasses.replace(SIGHT, **wrong)  # type: ignore[arg-type]


def test_a_model_whose_vectors_have_another_size_is_refused(network: Network) -> None:
    wrong = NetworkExtractor(network, dataclasses.replace(SIGHT, size=15), "see")
    with pytest.raises(Corrupt, match="gives 16 components, not 15"):
        wrong.extract(np.ones((9, 9, 3), np.uint8))
