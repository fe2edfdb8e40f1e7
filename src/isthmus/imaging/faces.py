"""Faces to vectors: find the largest face, turn it upright by five landmarks, embed it.

Detection is dlib's HOG detector of frontal faces and alignment its predictor of five landmarks (150 × 150 pixels,
padding 0.25, as the network was trained). The network is dlib's ResNet, run by onnxruntime on one thread, or by
dlib itself where that is not installed: the same vectors to 1e-5, but 0.2 s a face instead of 7 ms. It was trained
so that pictures of one person lie within 0.6 of each other (King, 2017); strangers do so too often, which is why
the threshold here is 0.50.

A vector has 128 components, about 1.3 long. It is stored as float16, or as int8, component × SCALE rounded: half
as large, but of two stored pictures that are nearly as far the other may then come first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isthmus.core.errors import MissingExtra
from isthmus.imaging.port import Metric, Model
from isthmus.imaging.resnet import INPUT, OUTPUT
from isthmus.imaging.weights import Weights

SCALE = 200.0
"""Rounding moves a distance by about 0.002; components up to 0.63 fit, the largest of real faces are near 0.5."""

THRESHOLD = 0.50

_FLOAT16, _INT8 = "faces/dlib-resnet-v1/float16", "faces/dlib-resnet-v1/int8"

LONGEST_SIDE = 1_600
"""Larger pictures are reduced to it: faces from a twentieth of the picture on are still found."""

MOST_DOUBLINGS = 2
"""How often a picture without a face is doubled, for the detector sees no face under 80 pixels."""

MARGIN = 0.25
"""At last a margin is put around, this part of the longer side: portraits are often cut close to the face."""

_CHIP, _PADDING = 150, 0.25

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Turns an aligned face of shape (150, 150, 3) into a vector of shape (128,)."""


class Faces:
    """The extractor of faces. Making one loads nothing; the first picture loads the weights. For one thread."""

    def __init__(self, cache: Path | None = None) -> None:
        """Keep the weights in `cache`, or where `ISTHMUS_CACHE` says."""
        self._weights = Weights(cache)
        self._parts: _Parts | None = None

    @property
    def model(self) -> Model:
        """128 float16 components (little-endian), Euclidean; exact to 0.0005."""
        return Model(_FLOAT16, Metric.EUCLIDEAN, 256, THRESHOLD)

    @property
    def kin(self) -> tuple[str, ...]:
        """The models whose vectors its own can be turned into; see port.Translator."""
        return (_INT8,)

    def extract(self, image: NDArray[np.uint8]) -> bytes | None:
        """Return the vector of the largest face; None where there is no face. Raises MissingExtra, Corrupt."""
        vector = self.embed(image)
        return None if vector is None else bytes(vector.astype("<f2"))

    def translated(self, vector: bytes, model: str) -> bytes:
        """Return a vector of its own as one of its kin. Raises ValueError for any other model."""
        if model not in self.kin:
            raise ValueError(f"{self.model.name} is not turned into {model}")
        return _rounded(np.frombuffer(vector, "<f2").astype(np.float32))

    def embed(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return the vector as float32 of shape (128,), as the network makes it."""
        if self._parts is None:
            self._parts = _Parts(self._weights)
        chip = self._parts.chip(_reduced(image))
        return None if chip is None else self._parts.embed(chip)


class Faces8(Faces):
    """The same faces, with vectors stored as int8: half as large."""

    @property
    def model(self) -> Model:
        """128 int8 components, Euclidean."""
        return Model(_INT8, Metric.EUCLIDEAN, 128, THRESHOLD, SCALE)

    @property
    def kin(self) -> tuple[str, ...]:
        """The models whose vectors its own can be turned into; see port.Translator."""
        return (_FLOAT16,)

    def extract(self, image: NDArray[np.uint8]) -> bytes | None:
        """Return the vector of the largest face; None where there is no face. Raises MissingExtra, Corrupt."""
        vector = self.embed(image)
        return None if vector is None else _rounded(vector)

    def translated(self, vector: bytes, model: str) -> bytes:
        """Return a vector of its own as one of its kin. Raises ValueError for any other model."""
        if model not in self.kin:
            raise ValueError(f"{self.model.name} is not turned into {model}")
        return bytes((np.frombuffer(vector, np.int8) / np.float32(SCALE)).astype("<f2"))


def _rounded(vector: NDArray[np.float32]) -> bytes:
    return bytes(np.rint(vector * SCALE).clip(-127, 127).astype(np.int8))


class _Parts:
    """Detector, predictor and network, loaded."""

    def __init__(self, weights: Weights) -> None:
        try:
            import dlib
        except ModuleNotFoundError as error:
            raise MissingExtra.named(error.name or str(error), "faces") from error
        self._dlib: Any = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(weights.landmarks()))
        self._run = _by_onnxruntime(weights) or _by_dlib(dlib, weights)

    def chip(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Cut out the largest face, upright, as (150, 150, 3); None where the detector finds none."""
        found = self._largest(image)
        return self._largest(_with_margin(image)) if found is None else found

    def _largest(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        for doublings in range(MOST_DOUBLINGS + 1):
            if doublings and max(image.shape[:2]) << doublings > LONGEST_SIDE:
                break
            found = self._detector(image, doublings)
            if found:
                largest = max(found, key=lambda face: face.area())
                landmarks = self._predictor(image, largest)
                chip: NDArray[np.uint8] = self._dlib.get_face_chip(image, landmarks, _CHIP, _PADDING)
                return chip
        return None

    def embed(self, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the vector of an aligned face."""
        return self._run(chip)


def _by_onnxruntime(weights: Weights) -> Embed | None:
    """Return the network on onnxruntime; None where that is not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    network = onnxruntime.InferenceSession(weights.embedder(), options, providers=["CPUExecutionProvider"])

    def run(chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = network.run([OUTPUT], {INPUT: chip[np.newaxis]})[0][0]
        return vector

    return run


def _by_dlib(dlib: Any, weights: Weights) -> Embed:
    network = dlib.face_recognition_model_v1(str(weights.network()))
    return lambda chip: np.asarray(network.compute_face_descriptor(chip), np.float32)


def _with_margin(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    margin = round(max(image.shape[:2]) * MARGIN)
    return np.pad(image, ((margin, margin), (margin, margin), (0, 0)), "edge")


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest <= LONGEST_SIDE:
        return np.ascontiguousarray(image)
    size = (max(1, round(width * LONGEST_SIDE / longest)), max(1, round(height * LONGEST_SIDE / longest)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
