"""Ed25519 keys (RFC 8032): who signs, and whose signatures count for which stream.

A public key is written `ed25519:<standard base64 of its 32 bytes>`; a private key is kept as PKCS#8 PEM in a file
that only its owner can read. Whatever is signed begins with the name of what it is for (`signed_form`), so that a
signature given for one purpose is worth nothing for another.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from isthmus.core.errors import InputError, Refused
from isthmus.state.files import write_private

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_PREFIX = "ed25519:"
_MOST_PEM_BYTES = 16 * 1024


def signed_form(purpose: str, *parts: bytes) -> bytes:
    """Build what is signed: the purpose, a zero byte, then each part behind its length (u64, little-endian)."""
    return purpose.encode("ascii") + b"\0" + b"".join(len(part).to_bytes(8, "little") + part for part in parts)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures: its 32 bytes as of RFC 8032."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise ValueError(f"a public key has {KEY_BYTES} bytes, not {len(self.raw)}")

    @classmethod
    def of_text(cls, text: str) -> PublicKey:
        """Read what `str` writes, and nothing that merely resembles it. Raises InputError."""
        try:
            raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != KEY_BYTES or str(key := cls(raw)) != text:  # base64 leaves bits that mean nothing
            raise InputError(
                f"{text[:80]!r} is no public key", f"it is written {_PREFIX}<44 characters of base64>"
            )
        return key

    def __str__(self) -> str:
        return _PREFIX + base64.b64encode(self.raw).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the BLAKE3 of the key's bytes: for people to compare."""
        return blake3(self.raw).hexdigest(8)

    def verify(self, signature: bytes, content: bytes) -> None:
        """Return where this key's owner signed `content`. Raises Refused."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, content)
        except (InvalidSignature, ValueError) as error:
            raise Refused(f"the signature is not one of key {self.fingerprint}") from error


Allowed = Mapping[str, frozenset[PublicKey]]
"""Whose signatures count, by stream."""


class SigningKey:
    """A key that signs. It never shows its secret: only `save` writes it, to a file for its owner alone."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    @classmethod
    def create(cls) -> SigningKey:
        """Make a new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read a key from an unencrypted PKCS#8 PEM file.

        Raises InputError where there is no such key, Refused where others than the owner may read or write it.
        """
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                content = file.read(_MOST_PEM_BYTES)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise InputError(f"there is no signing key in {path}", "make one, or correct the path") from error
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise Refused(f"{path} can be read or written by others than its owner", f"chmod 600 {path}")
        try:
            private = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InputError(f"{path} holds no unencrypted private key in PEM") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise InputError(f"{path} holds a key of another kind than Ed25519")
        return cls(private)

    def save(self, path: Path) -> None:
        """Write the key as PKCS#8 PEM, mode 0600, durably. Raises InputError where the file exists already."""
        content = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            write_private(path, content)
        except FileExistsError as error:
            raise InputError(
                f"{path} exists already", "a key is never overwritten: choose another path"
            ) from error

    def sign(self, content: bytes) -> bytes:
        """Return the signature of `content`, 64 bytes. Give it what `signed_form` builds."""
        return self._private.sign(content)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.fingerprint})"
