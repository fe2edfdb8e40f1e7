"""Small pictures for screens: JPEG, upright, without metadata. Made in a worker process, kept on the disk."""

from __future__ import annotations

import io
import secrets
from pathlib import Path

from PIL import Image

from isthmus.acquire.filing.contents import THUMBNAILS
from isthmus.acquire.request import LEAST_EDGE, MOST_EDGE
from isthmus.core.errors import InputError
from isthmus.imaging.anatomy import ImageLimits, ImageRefused
from isthmus.imaging.decode import reduced

QUALITY = 82


def folder_of(root: Path, digest: str) -> Path:
    """Return where the thumbnails of a content lie."""
    return root / THUMBNAILS / digest[:2] / digest


def place_of(root: Path, digest: str, edge: int) -> Path:
    """Return where a thumbnail lies once it is made. Raises InputError for an edge that is not offered."""
    if not LEAST_EDGE <= edge <= MOST_EDGE:
        raise InputError(f"a thumbnail's edge is {LEAST_EDGE} to {MOST_EDGE} pixels, not {edge}")
    if len(digest) != 64 or not digest.isalnum():
        raise InputError(f"{digest!r} is no digest")
    return folder_of(root, digest) / f"{edge}.jpg"


def made(path: Path) -> bool:
    """Tell whether a thumbnail is there; a lost power supply may leave an empty file, which does not count."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def draw(source: Path, target: Path, edge: int, limits: ImageLimits) -> None:
    """Make a thumbnail. Raises InputError where the image is gone or cannot be drawn, OSError of the disk."""
    try:
        content = source.read_bytes()
    except FileNotFoundError as error:
        raise InputError("the image is gone") from error
    try:
        image = Image.fromarray(reduced(content, edge, limits))
    except ImageRefused as error:
        raise InputError(f"the image cannot be drawn: {error.what}") from error
    image.thumbnail((edge, edge), Image.Resampling.BICUBIC, reducing_gap=2.0)
    into = io.BytesIO()
    image.save(into, "JPEG", quality=QUALITY)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(into.getvalue())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
