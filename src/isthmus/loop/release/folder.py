"""A released model as a folder: the weights, the card, and a manifest that is written last.

    model.safetensors   the weights
    model.onnx          the same model for any runtime
    model.json          its architecture
    card.json CARD.md   where it comes from and how good it is
    manifest.json       every other file's path, size and BLAKE3

On a local disk the folder is written under a hidden name, synced and renamed: it is there as a whole or not
at all. On an object store the manifest is uploaded last: a folder without one does not count.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from blake3 import blake3

from isthmus.core.errors import Corrupt, InputError
from isthmus.loop.release.card import Card
from isthmus.loop.release.place import Place
from isthmus.state.files import sync_folder

WEIGHTS = ("model.safetensors", "model.onnx", "model.json")
CARD, CARD_TEXT, MANIFEST = "card.json", "CARD.md", "manifest.json"
FORMAT = 1

_CHUNK = 1 << 20

Fill = Callable[[Path], object]
"""Writes a model's files into the folder that it is handed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a manifest; `path` is relative to the folder, with forward slashes."""

    path: str
    size: int
    blake3: str


def write(uri: str, weights: Path | Fill, card: Card, reached: Callable[[str], None] = lambda step: None) -> str:
    """Write the folder `uri` and return the BLAKE3 of its manifest.

    `weights` is a folder with the model's files, or a callable that writes them into the one it is handed.
    Raises InputError where the folder exists already or a file of `WEIGHTS` is missing.
    """
    place = Place.of(uri)
    if place.exists():
        raise InputError(f"{uri} exists already", "a released folder never changes: allot a new model id")
    if place.local is None:
        with tempfile.TemporaryDirectory(prefix="isthmus-release-") as scratch:
            digest = _compose(Path(scratch), weights, card, reached)
            _upload(Path(scratch), place, reached)
        return digest
    part = staging(place.local)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        digest = _compose(part, weights, card, reached)
        part.rename(place.local)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    sync_folder(place.local.parent)
    reached("folder renamed")
    return digest


def staging(folder: Path) -> Path:
    """Return the hidden name under which `folder` is written before it is renamed."""
    return folder.with_name(f".{folder.name}.part")


def verify(uri: str, digest: str = "") -> tuple[Entry, ...]:
    """Check every byte of a released folder against its manifest, and the manifest against `digest`.

    Returns the manifest's entries. Raises Corrupt, naming the first file that is missing, changed, cut short
    or not in the manifest.
    """
    place = Place.of(uri)
    entries, found = read_manifest(uri)
    if digest and found != digest:
        raise _corrupt(uri, MANIFEST, "is not the one that was released")
    for entry in entries:
        if not place.exists(entry.path):
            raise _corrupt(uri, entry.path, "is missing")
        hasher, size = blake3(), 0
        for chunk in place.chunks(entry.path, _CHUNK):
            hasher.update(chunk)
            size += len(chunk)
        if size != entry.size:
            raise _corrupt(uri, entry.path, f"has {size} bytes instead of {entry.size}")
        if hasher.hexdigest() != entry.blake3:
            raise _corrupt(uri, entry.path, "has bytes that its digest does not know")
    extra = sorted(set(place.files()) - {entry.path for entry in entries} - {MANIFEST})
    if extra:
        raise _corrupt(uri, extra[0], "is not in the manifest")
    return entries


def read_manifest(uri: str) -> tuple[tuple[Entry, ...], str]:
    """Read a folder's manifest; returns its entries and its BLAKE3. Raises Corrupt."""
    place = Place.of(uri)
    if not place.exists(MANIFEST):
        raise _corrupt(uri, MANIFEST, "is missing")
    raw = place.read(MANIFEST)
    try:
        plain = json.loads(raw)
        if plain["format"] != FORMAT:
            raise _corrupt(uri, MANIFEST, "has a format of a later release")
        entries = tuple(Entry(str(e["path"]), int(e["size"]), str(e["blake3"])) for e in plain["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(uri, MANIFEST, f"cannot be read ({error})") from error
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or str(path) != entry.path:
            raise _corrupt(uri, MANIFEST, f"names {entry.path!r}, which is no path inside the folder")
    return entries, blake3(raw).hexdigest()


def read_card(uri: str) -> Card:
    """Read the card of a released folder. Raises Corrupt."""
    place = Place.of(uri)
    if not place.exists(CARD):
        raise _corrupt(uri, CARD, "is missing")
    return Card.from_json(place.read(CARD), f"{uri}/{CARD}")


def _compose(folder: Path, weights: Path | Fill, card: Card, reached: Callable[[str], None]) -> str:
    """Fill `folder` with everything, synced; returns the BLAKE3 of the manifest."""
    if isinstance(weights, Path):
        shutil.copytree(weights, folder, dirs_exist_ok=True)
    else:
        weights(folder)
    missing = [name for name in WEIGHTS if not (folder / name).is_file()]
    if missing:
        raise InputError(f"the model lacks {', '.join(missing)}", "export it again before releasing it")
    reserved = [name for name in (CARD, CARD_TEXT, MANIFEST) if (folder / name).exists()]
    if reserved:
        raise InputError(f"the model brings its own {reserved[0]}", "that name belongs to the release")
    reached("weights written")
    digests = {entry.path: entry.blake3 for entry in _entries(folder)}
    finished = dataclasses.replace(card, digests=digests)
    (folder / CARD).write_text(finished.to_json(), encoding="utf-8")
    (folder / CARD_TEXT).write_text(finished.to_markdown(), encoding="utf-8")
    reached("card written")
    plain = {"format": FORMAT, "files": [dataclasses.asdict(entry) for entry in _entries(folder)]}
    raw = (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()
    (folder / MANIFEST).write_bytes(raw)
    for path in _walk(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        sync_folder(inner)
    reached("manifest written")
    return blake3(raw).hexdigest()


def _upload(folder: Path, place: Place, reached: Callable[[str], None]) -> None:
    paths = [path.relative_to(folder).as_posix() for path in _walk(folder)]
    for path in sorted(paths, key=lambda name: name == MANIFEST):
        if path == MANIFEST:
            reached("all but the manifest uploaded")
        place.write(path, (folder / path).read_bytes())


def _walk(folder: Path) -> Iterator[Path]:
    """List the files of a folder in a fixed order. Raises InputError on links: they lead out of it."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise InputError(f"{path.name} is a link", "copy the file itself into the model's folder")
        if path.is_file():
            yield path


def _entries(folder: Path) -> list[Entry]:
    entries = []
    for path in _walk(folder):
        hasher = blake3()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
        entries.append(Entry(path.relative_to(folder).as_posix(), path.stat().st_size, hasher.hexdigest()))
    return entries


def _corrupt(uri: str, path: str, what: str) -> Corrupt:
    return Corrupt(f"{uri}: {path} {what}", "restore the folder from a copy, or roll back to an earlier model")
