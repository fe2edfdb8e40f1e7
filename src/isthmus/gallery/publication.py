"""A released model as it is published: its files by digest, where it comes from, how good it is, how it is proven.

The catalogue of a model lists its published versions, the oldest first, and those that were withdrawn. It is one
JSON document (format 1, `docs/formats.md`) in one record, so that versions come and go as a whole. Of the versions
listed the last one counts; a receiver that cannot prove it stays with the one before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Annotated

import msgspec
from blake3 import blake3
from msgspec import Meta, Struct

from isthmus.core.errors import Corrupt, InputError, UnknownName
from isthmus.gallery.piece import PIECE_BYTES, model_name, unwrapped, wrapped
from isthmus.imaging.network import Sight, Told

FORMAT = 1
MOST_BYTES = 2 * 1024**3
_MOST_WITHDRAWN = 100
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

Hex = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Meta(ge=0, le=MOST_BYTES)]
Text = Annotated[str, Meta(max_length=2000)]
Reading = Callable[[bytes], bytes]
"""Returns the content with a BLAKE3 (32 bytes), proven. Raises Corrupt."""


class ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its path in the model's folder, size, BLAKE3, and the BLAKE3 of the contents with its pieces."""

    path: Annotated[str, Meta(min_length=1, max_length=200)]
    size: Size
    blake3: Hex
    pieces: tuple[Hex, ...]


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """One published version. `onnx` is the file that is run and proven by `proof`, empty where there is none.

    `lineage` says where it comes from in the words of whoever made it, `metrics` how good it was found to be.
    """

    version: str
    by: Text
    at: Text
    files: tuple[ModelFile, ...]
    onnx: str = ""
    sight: Sight | None = None
    proof: tuple[Told, ...] = ()
    metrics: Mapping[str, float | None] = msgspec.field(default_factory=dict)
    lineage: Mapping[str, Text] = msgspec.field(default_factory=dict)
    note: Text = ""

    @property
    def digest(self) -> str:
        """The BLAKE3 that two publications of the same files, run the same way, have in common."""
        what = (sorted((one.path, one.size, one.blake3) for one in self.files), self.onnx, self.sight)
        return blake3(msgspec.json.encode(what)).hexdigest()

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(one.size for one in self.files)

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The BLAKE3 of all contents that it needs, each once."""
        return tuple(dict.fromkeys(bytes.fromhex(piece) for one in self.files for piece in one.pieces))

    def file(self, path: str) -> ModelFile:
        """Return one of its files. Raises UnknownName."""
        for one in self.files:
            if one.path == path:
                return one
        raise UnknownName.among("file", path, [one.path for one in self.files])


class Withdrawn(Struct, frozen=True, forbid_unknown_fields=True):
    """A version that nobody is to use any more, and why."""

    version: str
    why: Text
    by: Text
    at: Text


class Catalogue(Struct, frozen=True, forbid_unknown_fields=True):
    """What is published of a model. `versions`: the oldest first, the last one counts."""

    name: str
    versions: tuple[Published, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()
    format: int = FORMAT

    @property
    def latest(self) -> Published | None:
        """The version that counts."""
        return self.versions[-1] if self.versions else None

    def version(self, version: str) -> Published:
        """Return a published version. Raises UnknownName."""
        for one in self.versions:
            if one.version == version:
                return one
        raise UnknownName.among(f"version of {self.name}", version, [one.version for one in self.versions])

    def published(self, new: Published, keep: int) -> Catalogue:
        """Return it with one more version, which counts from now on, and the `keep` latest of all.

        The same version may be published again: it counts again. Raises InputError where it has other files.
        """
        for old in self.versions:
            if old.version == new.version and old.digest != new.digest:
                raise InputError(
                    f"{self.name} {new.version} is published already, with other files",
                    "a published version never changes: name another one with --version",
                )
        rest = [one for one in self.versions if one.version != new.version]
        versions = (*rest, new)[-max(1, keep) :]
        withdrawn = tuple(one for one in self.withdrawn if one.version != new.version)
        return Catalogue(self.name, versions, withdrawn)

    def without(self, gone: Withdrawn) -> Catalogue:
        """Return it without a version that is withdrawn. Raises UnknownName where it is not published."""
        self.version(gone.version)
        versions = tuple(one for one in self.versions if one.version != gone.version)
        return Catalogue(self.name, versions, (*self.withdrawn, gone)[-_MOST_WITHDRAWN:])

    def content(self) -> bytes:
        """Write it as the content of its record."""
        return wrapped(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def of_content(cls, content: bytes, name: str) -> Catalogue:
        """Read the content of a record. Raises Corrupt where it is no catalogue of that model."""
        remedy = "publish the model again at the inner site"
        raw = unwrapped(content, f"the catalogue of {name}")
        try:
            found = msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"the catalogue of {name} cannot be read: {error}", remedy) from error
        if found.format != FORMAT:
            raise Corrupt(f"the catalogue of {name} has a format of a later release", "install that release")
        if found.name != name or any(not _sound(one) for one in found.versions):
            raise Corrupt(f"the catalogue of {name} contradicts itself", remedy)
        return found


def version_name(version: str) -> str:
    """Prove the name of a version. Raises InputError."""
    if not _VERSION.fullmatch(version):
        raise InputError(f"{version!r} is no name of a version", "use letters, digits, . _ and -")
    return version


def cut(path: str, content: bytes) -> tuple[ModelFile, list[bytes]]:
    """Cut a file into pieces; returns what the catalogue says of it, and the contents that hold the pieces."""
    parts = [wrapped(content[at : at + PIECE_BYTES]) for at in range(0, len(content), PIECE_BYTES)]
    digests = tuple(blake3(part).hexdigest() for part in parts)
    return ModelFile(path, len(content), blake3(content).hexdigest(), digests), parts


def whole(file: ModelFile, read: Reading) -> bytes:
    """Put a file together of its pieces, proven. Raises Corrupt."""
    content = b"".join(unwrapped(read(bytes.fromhex(piece)), f"a piece of {file.path}") for piece in file.pieces)
    if len(content) != file.size or blake3(content).hexdigest() != file.blake3:
        raise Corrupt(f"{file.path} is not the file that was published", "publish the model again")
    return content


def identity(name: str, published: Published) -> str:
    """Return the name under which vectors of this version are kept: each version has its own."""
    return f"model/{model_name(name)}/{published.version}/{published.digest[:12]}"


def _sound(one: Published) -> bool:
    """Tell whether a version's names lie where they should, and each file is as long as its pieces can be."""
    if not _VERSION.fullmatch(one.version) or one.size > MOST_BYTES:
        return False
    paths = [file.path for file in one.files]
    if len(set(paths)) != len(paths) or (one.onnx and one.onnx not in paths) or (one.sight and not one.onnx):
        return False
    return all(_within(file.path) and len(file.pieces) == -(-file.size // PIECE_BYTES) for file in one.files)


def _within(text: str) -> bool:
    path = PurePosixPath(text)
    return not path.is_absolute() and ".." not in path.parts and str(path) == text and "\\" not in text
