"""What the server believes of environments: the keys that check their signatures, and their callbacks.

A folder holds one file per environment, named by its label, with one or two lines: `whsec_…` (a secret that is
shared) or `whpk_…` (a public key). It is read again when it changes, so that a rotation needs no restart.
"""

from __future__ import annotations

import hmac
import stat
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from isthmus.acquire.delivery.signing import MOST_KEYS, Checker, PublicKey, checker_of
from isthmus.acquire.request import is_environment
from isthmus.core.errors import InputError, Refused


class Trust(Protocol):
    """Knows what checks an environment's signatures."""

    def checkers(self, environment: str) -> Sequence[Checker]:
        """Return one or two. Raises Refused where the environment has none, InputError where a file is wrong."""
        ...


class FixedTrust:
    """Trust that was handed in: texts by environment."""

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        self._checkers = {name: tuple(map(checker_of, some)) for name, some in texts.items()}

    def checkers(self, environment: str) -> Sequence[Checker]:
        """Return what was handed in. Raises Refused."""
        found = self._checkers.get(environment, ())
        if not found:
            raise _unknown(environment)
        return found


class FolderTrust:
    """Trust in a folder of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int, int], tuple[Checker, ...]]] = {}

    def checkers(self, environment: str) -> Sequence[Checker]:
        """Return what the environment's file says now. Raises Refused, InputError."""
        if not is_environment(environment):
            raise _unknown(environment)
        path = self._folder / environment
        try:
            found = path.stat()
        except FileNotFoundError as error:
            raise _unknown(environment) from error
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if (known := self._known.get(environment)) is not None and known[0] == stamp:
            return known[1]
        checkers = tuple(checker_of(line) for line in path.read_text().split())
        if not 0 < len(checkers) <= MOST_KEYS:
            raise InputError(
                f"{path} holds {len(checkers)} keys, 1 to {MOST_KEYS} are allowed", "retire the oldest"
            )
        shared = any(not isinstance(one, PublicKey) for one in checkers)
        if shared and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Refused(f"{path} can be read by others", f"run: chmod 600 {path}")
        self._known[environment] = stamp, checkers
        return checkers


class Callbacks:
    """The addresses for deliveries: made by this server, one per environment, that nobody can guess."""

    def __init__(self, secret: bytes) -> None:
        """Make tokens from a secret: the same for the same secret, so servers that share it take each other's."""
        self._secret = secret
        self._tokens: dict[str, str] = {}

    def token(self, environment: str) -> str:
        """Return the token of an environment."""
        known = self._tokens.get(environment)
        if known is None:
            proof = hmac.digest(self._secret, f"callback|{environment}".encode(), "sha256")
            known = self._tokens[environment] = urlsafe_b64encode(proof).decode("ascii").rstrip("=")
        return known

    def right(self, environment: str, token: str) -> bool:
        """Tell, in constant time, whether a token is the environment's."""
        return hmac.compare_digest(self.token(environment).encode(), token.encode(errors="replace"))


def _unknown(environment: str) -> Refused:
    return Refused(f"environment {environment!r} has no key to check signatures", "give it one on this server")
