"""A folder of images as records to be: one for each image file, its id the path within the folder, no ending."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import InputError

ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".webp"))
_BATCH = 64
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Found:
    """An image file: `refused` says why it cannot be used; then `image` is empty."""

    path: Path
    id: str
    image: bytes
    digest: bytes
    refused: str | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `refused` are files with the reason; they stand in nobody's way."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    refused: tuple[tuple[Path, str], ...] = ()


def image_files(folder: Path) -> list[tuple[Path, str]]:
    """List the image files below a folder with their ids, sorted by id. Links are not followed.

    Raises InputError where it is no folder, or where two files would have one id.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", "name the folder that holds the images")
    found: dict[str, Path] = {}
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.suffix.lower() not in ENDINGS or path.is_symlink():
                continue
            id = path.relative_to(folder).with_suffix("").as_posix()
            if id in found:
                raise InputError(f"{found[id]} and {path} would have one id, {id!r}", "name one of them otherwise")
            found[id] = path
    return [(path, id) for id, path in sorted(found.items())]


def read(
    files: Sequence[tuple[Path, str]], check: Callable[[bytes], str | None], known: Callable[[str], bytes | None]
) -> Iterator[list[Found]]:
    """Read image files in batches. What is `known` already by its id, with this digest, is not checked again."""
    from blake3 import blake3

    def one(path: Path, id: str, held: bytes | None) -> Found:
        try:
            image = path.read_bytes()
        except OSError as error:
            return Found(path, id, b"", b"", f"it cannot be read: {error.strerror}")
        digest = blake3(image).digest()
        refused = None if digest == held else check(image)
        return Found(path, id, b"" if refused else image, digest, refused)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="import") as pool:
        for at in range(0, len(files), _BATCH):
            part = files[at : at + _BATCH]
            held = [known(id) for _, id in part]
            yield list(pool.map(one, *zip(*part, strict=True), held))
