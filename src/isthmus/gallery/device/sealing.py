"""Encrypts what a device stores, with a key of 32 bytes that comes from a file or the environment.

AES-256-GCM throughout. Columns are sealed on their own, bound to their place by associated bytes; files in chunks
of 64 KiB under a key of their own (keyed BLAKE2b of a random salt), so that an interrupted download goes on at a
whole chunk. Chunks are numbered in their nonces, so none can be moved or left out unnoticed; the end of a file is
proven by the BLAKE3 that its record holds.

Not hidden: how many records and galleries there are, the galleries' names, the sizes of files, when something
changed. File names are keyed hashes, so nobody can test for a known image. Deleted files are unlinked, not
overwritten: flash storage would keep the old blocks anyway; sealed, they tell nothing without the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from isthmus.core.errors import Corrupt, InputError

KEY_BYTES = 32
CHUNK = 64 * 1024
_NONCE, _TAG, _SALT = 12, 16, 16
_MAGIC = b"isd1"
HEADER = len(_MAGIC) + _SALT


class Sealing(Protocol):
    """How bytes lie on the device's disk."""

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Return what is stored of a column's content at a place."""
        ...

    def open(self, stored: bytes, place: bytes) -> bytes:
        """Return a column's content. Raises Corrupt where it is not what was stored there."""
        ...

    def name(self, digest: bytes) -> str:
        """Return the file name of a content."""
        ...

    def header(self) -> bytes:
        """Return what a new file begins with."""
        ...

    def seal_chunk(self, header: bytes, number: int, content: bytes) -> bytes:
        """Return what is stored of a file's chunk."""
        ...

    def open_chunk(self, header: bytes, number: int, stored: bytes) -> bytes:
        """Return a file's chunk. Raises Corrupt."""
        ...

    @property
    def header_bytes(self) -> int:
        """How long the header is."""
        ...

    @property
    def extra_bytes(self) -> int:
        """How much longer a stored chunk is."""
        ...


class Plain:
    """Stores everything as it is."""

    header_bytes = 0
    extra_bytes = 0

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Return the content."""
        return content

    def open(self, stored: bytes, place: bytes) -> bytes:
        """Return what is stored."""
        return stored

    def name(self, digest: bytes) -> str:
        """Return the digest in hexadecimal."""
        return digest.hex()

    def header(self) -> bytes:
        """Return nothing."""
        return b""

    def seal_chunk(self, header: bytes, number: int, content: bytes) -> bytes:
        """Return the content."""
        return content

    def open_chunk(self, header: bytes, number: int, stored: bytes) -> bytes:
        """Return what is stored."""
        return stored


class Sealed:
    """Stores everything encrypted under one key."""

    header_bytes = HEADER
    extra_bytes = _TAG

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise InputError(f"the key of a device store has {len(key)} bytes, not {KEY_BYTES}")
        self._names = _derived(key, b"names")
        self._files = _derived(key, b"files")
        self._columns = AESGCM(_derived(key, b"columns"))

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Encrypt under a random nonce."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._columns.encrypt(nonce, content, place)

    def open(self, stored: bytes, place: bytes) -> bytes:
        """Decrypt. Raises Corrupt."""
        try:
            return self._columns.decrypt(stored[:_NONCE], stored[_NONCE:], place)
        except (InvalidTag, ValueError) as error:
            raise Corrupt("a sealed value of the device store cannot be opened", "synchronise anew") from error

    def name(self, digest: bytes) -> str:
        """Return the keyed hash of the digest."""
        return hashlib.blake2b(digest, key=self._names, digest_size=32).hexdigest()

    def header(self) -> bytes:
        """Return the magic and a new salt."""
        return _MAGIC + secrets.token_bytes(_SALT)

    def seal_chunk(self, header: bytes, number: int, content: bytes) -> bytes:
        """Encrypt a chunk under the file's key; its number is the nonce, so each is used once."""
        return self._of_file(header).encrypt(number.to_bytes(_NONCE, "big"), content, None)

    def open_chunk(self, header: bytes, number: int, stored: bytes) -> bytes:
        """Decrypt a chunk. Raises Corrupt."""
        try:
            return self._of_file(header).decrypt(number.to_bytes(_NONCE, "big"), stored, None)
        except (InvalidTag, ValueError) as error:
            raise Corrupt("a sealed file of the device store cannot be opened", "synchronise anew") from error

    def _of_file(self, header: bytes) -> AESGCM:
        return AESGCM(hashlib.blake2b(header, key=self._files, digest_size=32).digest())


def key_of(text: str, where: str) -> bytes:
    """Read a key from base64 or hexadecimal text. Raises InputError, which never shows the text."""
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(f"{where} holds no key of 32 bytes", "write it as base64 or hexadecimal")
    return key


def key_from_file(path: Path) -> bytes:
    """Read a key from a file that only its owner may read. Raises InputError."""
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"the key file {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise InputError(f"the key file {path} can be read by others", f"chmod 600 {path}")
    if len(content) == KEY_BYTES:
        return content
    return key_of(content.decode("ascii", "replace"), str(path))


def key_from_environment(name: str) -> bytes:
    """Read a key from an environment variable. Raises InputError where it is not set or holds none."""
    text = os.environ.get(name)
    if text is None:
        raise InputError(f"the environment variable {name} is not set", "it is to hold the device store's key")
    return key_of(text, f"the environment variable {name}")


def _derived(key: bytes, use: bytes) -> bytes:
    return hashlib.blake2b(b"isthmus device " + use, key=key, digest_size=32).digest()
