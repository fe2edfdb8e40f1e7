"""The shelves of a set: which models it has, their catalogues, and their files, each proven by its digest.

The same reading serves the inner site, which writes the shelves, and the outer one, which follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bson
from blake3 import blake3

from isthmus.core.errors import Corrupt, UnknownName
from isthmus.gallery.piece import CATALOGUE, shelf, shelved
from isthmus.gallery.ports import Set, StoredImage
from isthmus.gallery.publication import Catalogue, Published, identity, whole
from isthmus.gallery.record import IMAGE_FIELD, Held
from isthmus.imaging.network import Network

_KEY: bytes = bson.encode({"_id": CATALOGUE})
_REMEDY = "publish the model again at the inner site: its pieces are written anew everywhere"


@dataclass(frozen=True, slots=True)
class Standing:
    """A published version as a set has it: `flaw` says what of it is damaged here, empty where nothing is."""

    name: str
    published: Published
    latest: bool
    flaw: str


class Shelves:
    """Reads the shelves of a set. Belongs to the set's thread."""

    def __init__(self, held: Set) -> None:
        self._set = held

    def names(self) -> list[str]:
        """List the models that have a shelf, sorted."""
        found = (shelved(one.gallery) for one in self._set.galleries())
        return sorted(name for name in found if name is not None)

    def catalogue(self, name: str) -> Catalogue:
        """Return a model's catalogue, an empty one where it has none. Raises Corrupt, InputError."""
        document = self._set.document(shelf(name), _KEY)
        held = None if document is None else document.get(IMAGE_FIELD)
        if not isinstance(held, Held):
            return Catalogue(name)
        return Catalogue.of_content(self.content(held.digest), name)

    def catalogue_digest(self, name: str) -> bytes:
        """Return what tells one catalogue from another; empty where there is none."""
        document = self._set.document(shelf(name), _KEY)
        held = None if document is None else document.get(IMAGE_FIELD)
        return held.digest if isinstance(held, Held) else b""

    def known(self, name: str) -> Catalogue:
        """Return the catalogue of a model that is published. Raises UnknownName."""
        if name not in self.names():
            raise UnknownName.among("model", name, self.names())
        return self.catalogue(name)

    def content(self, digest: bytes) -> bytes:
        """Return a content, proven. Raises Corrupt."""
        image = self._set.image(digest)
        return _read(image, digest) if image is not None else _missing(digest)

    def file(self, published: Published, path: str) -> bytes:
        """Return a file of a version, proven. Raises Corrupt, UnknownName."""
        return whole(published.file(path), self.content)

    def list(self) -> list[Standing]:
        """Tell of every published version, the latest of each model first."""
        found: list[Standing] = []
        for name in self.names():
            catalogue = self.catalogue(name)
            found += (
                Standing(name, one, one is catalogue.latest, self._flaw(one))
                for one in reversed(catalogue.versions)
            )
        return found

    def sound(self, name: str) -> tuple[Published, Network] | None:
        """Return the latest version that is whole and proven here, with its network; None where there is none.

        Raises MissingExtra.
        """
        return first_sound(name, self.catalogue(name), self.content)

    def _flaw(self, one: Published) -> str:
        try:
            for file in one.files:
                whole(file, self.content)
        except Corrupt as error:
            return error.what
        return ""


def first_sound(
    name: str, catalogue: Catalogue, content: Callable[[bytes], bytes]
) -> tuple[Published, Network] | None:
    """Return the latest version that makes vectors, is whole and does here what it did where it was published."""
    for one in reversed(catalogue.versions):
        if one.sight is None:
            continue
        try:
            network = Network(whole(one.file(one.onnx), content), identity(name, one))
            network.prove(one.proof)
        except Corrupt:
            continue  # the list of models tells why
        return one, network
    return None


def _read(image: StoredImage, digest: bytes) -> bytes:
    try:
        content = image.read()
    except FileNotFoundError:
        return _missing(digest)
    if blake3(content).digest() != digest:
        raise Corrupt(f"the piece {digest.hex()[:12]} was changed on the disk", _REMEDY)
    return content


def _missing(digest: bytes) -> bytes:
    raise Corrupt(f"the piece {digest.hex()[:12]} is not here", _REMEDY)
