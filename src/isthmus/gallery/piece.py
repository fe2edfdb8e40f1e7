"""Contents that are no images but pieces of a released model, and the galleries that such pieces lie in.

A model travels as a gallery does: the gallery `models.<name>` is its *shelf*, whose records hold, where others
have an image, the catalogue of the model's versions (`gallery.publication`) or a piece of one of their files. So
each piece is stored by its own digest, crosses the gate as an ordinary change, and is pulled by devices as images
are.
"""

from __future__ import annotations

import re

from isthmus.core.errors import Corrupt, InputError

DATABASE = "models"
MAGIC = b"isthmus model piece\n"
"""What each such content begins with: no image format does."""
PIECE_BYTES = 4 * 1024 * 1024
"""So much of a file lies in one piece; a bundle and a device that is cut off lose no more than that."""
CATALOGUE = "catalogue"
"""The id of the record that holds the catalogue."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def model_name(name: str) -> str:
    """Prove a model's name. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name of a model", "use lower-case letters, digits, - and _, a letter first"
        )
    return name


def shelf(name: str) -> str:
    """Return the gallery that a model's versions lie in. Raises InputError."""
    return f"{DATABASE}.{model_name(name)}"


def shelved(gallery: str) -> str | None:
    """Return the name of the model that a gallery is the shelf of; None for a gallery of images."""
    database, _, name = gallery.partition(".")
    return name if database == DATABASE and _NAME.fullmatch(name) else None


def is_piece(content: bytes) -> bool:
    """Tell whether a content is a piece of a model rather than an image."""
    return content.startswith(MAGIC)


def piece_refusal(content: bytes) -> str | None:
    """Say why a piece is refused; None where it is good."""
    most = len(MAGIC) + PIECE_BYTES
    return f"a piece of a model has {len(content)} bytes, more than {most}" if len(content) > most else None


def wrapped(inside: bytes) -> bytes:
    """Return the content that holds some bytes of a model."""
    return MAGIC + inside


def unwrapped(content: bytes, what: str) -> bytes:
    """Return the bytes that a content holds. Raises Corrupt, naming `what` it was to be."""
    if not is_piece(content):
        raise Corrupt(f"{what} is no piece of a model", "publish the model again at the inner site")
    return content[len(MAGIC) :]


def piece_id(digest: str) -> str:
    """Return the id of the record that holds the piece with this BLAKE3, hexadecimal, of its content."""
    return f"piece-{digest}"
