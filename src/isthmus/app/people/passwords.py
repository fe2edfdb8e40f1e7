"""Hashes passwords by Argon2id (RFC 9106) with the parameters of argon2-cffi, and judges them.

Where there is no hash to compare with, one is compared all the same: an unknown name takes as long as a known one.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from isthmus.app.people.rules import MOST_PASSWORD, password_of
from isthmus.core.errors import Corrupt, MissingExtra


class Hasher(Protocol):
    """What argon2's PasswordHasher does."""

    def hash(self, password: str) -> str:
        """Hash with a salt of its own."""
        ...

    def verify(self, hash: str, password: str) -> bool:
        """Return True, or raise argon2's VerifyMismatchError, InvalidHashError."""
        ...

    def check_needs_rehash(self, hash: str) -> bool:
        """Tell whether a hash was made with other parameters."""
        ...


class Passwords:
    """Hashes and judges; takes some 50 ms and 64 MiB a call, so never call it on an event loop's thread."""

    def __init__(self, hasher: Hasher | None = None) -> None:
        """Take argon2's hasher where none is given. Raises MissingExtra."""
        self._hasher = hasher or _argon2()
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(32))

    def hash(self, password: str) -> str:
        """Hash a password that was judged."""
        return self._hasher.hash(password_of(password))

    def fits(self, stored: str, password: str) -> bool:
        """Tell whether a password has this hash; where `stored` is empty, take as long and say no.

        Raises Corrupt where `stored` is no hash.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        text = password_of(password[: MOST_PASSWORD + 1]).encode(errors="replace").decode()
        try:
            fits = self._hasher.verify(stored or self._nobodys, text)
        except InvalidHashError as error:
            raise Corrupt(
                "a stored password is no Argon2 hash", "set it anew: isthmus user password NAME"
            ) from error
        except VerificationError:
            return False
        return fits and bool(stored)

    def outdated(self, stored: str) -> bool:
        """Tell whether a hash was made with other parameters than are usual now."""
        return bool(stored) and self._hasher.check_needs_rehash(stored)


def _argon2() -> Hasher:
    try:
        from argon2 import PasswordHasher
    except ModuleNotFoundError as error:
        raise MissingExtra.named("argon2-cffi, which hashes passwords,", "console") from error
    return PasswordHasher()
