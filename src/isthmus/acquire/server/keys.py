"""API keys: who may open which door. A key is 32 random bytes, shown once and stored as its SHA-256 alone.

The page's session is a token signed with a secret of this server and the key's digest: revoking the key ends it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from isthmus.acquire.ports import Key
from isthmus.acquire.request import is_environment
from isthmus.core.errors import InputError, suggestion

CLIENT, VIEWER, OPERATOR, AGENT = "client", "viewer", "operator", "agent"
ROLES = (CLIENT, VIEWER, OPERATOR, AGENT)
FRESH_S = 2.0
"""So long what was read of the ledger's keys is believed; another server's revocation counts after that."""
_NEWS_S = 0.2
"""A key that is not known makes the ledger be read again, but no more often than this."""
PREFIX = "isk_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_MOST_TEXT = 256


def make(name: str, role: str, environment: str, now: datetime) -> tuple[str, Key]:
    """Make a key; return its text, which nobody can tell again, and what is to be stored. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a key", "use letters, digits and . _ @ -, 64 at most")
    if role not in ROLES:
        raise InputError(f"unknown role {role!r}", suggestion(role, ROLES))
    if (role == AGENT) != bool(environment):
        raise InputError("an agent's key, and no other, is bound to an environment", "name it with the role agent")
    if environment and not is_environment(environment):
        raise InputError(f"environment {environment!r} is no label", "lower-case letters, digits and -")
    text = PREFIX + secrets.token_urlsafe(32)
    return text, Key(name, role, digest_of(text), environment, now)


def digest_of(text: str) -> str:
    """Return what is stored of a key's text."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys that open something, as read at one moment."""

    by_digest: dict[str, Key]
    by_name: dict[str, Key]

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Ring:
        """Keep those that are not revoked."""
        valid = [key for key in keys if key.revoked is None]
        return cls({key.digest: key for key in valid}, {key.name: key for key in valid})

    def of_text(self, text: str) -> Key | None:
        """Return the key with this text. What is compared is a digest: its time tells nothing of the key."""
        if not text or len(text) > _MOST_TEXT:
            return None
        digest = digest_of(text)
        key = self.by_digest.get(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None


class Keys:
    """The ledger's keys, read again when they are older than `FRESH_S`, and at once after a change made here."""

    def __init__(self, read: Callable[[], Iterable[Key]], passed: Callable[[], float] = time.monotonic) -> None:
        """Read by `read` (from any thread); `passed` is a clock that only grows, in seconds."""
        self._read, self.passed = read, passed
        self._ring = Ring({}, {})
        self._until = self._read_at = float("-inf")
        self._round = 0

    @property
    def fresh(self) -> bool:
        """Tell whether `ring` may be believed without `refresh`."""
        return self.passed() < self._until

    def news_in_s(self, asked: float) -> float | None:
        """Tell in how many seconds to read again for a call that came at `asked` with a key that is not known.

        None: what was read last is younger than the call.
        """
        return None if self._read_at >= asked else max(0.0, self._read_at + _NEWS_S - self.passed())

    @property
    def ring(self) -> Ring:
        """The keys as read last."""
        return self._ring

    def refresh(self) -> Ring:
        """Read the keys. Raises what the ledger raises."""
        begun, at = self._round, self.passed()
        ring = Ring.of(self._read())
        if begun == self._round:  # nothing was changed while it was read
            self._ring, self._read_at, self._until = ring, at, at + FRESH_S
        return ring

    def changed(self, revoked: str = "") -> None:
        """Believe what was read no longer; the key `revoked` opens nothing from this moment on."""
        self._round += 1
        self._until = float("-inf")
        left = [key for key in self._ring.by_name.values() if key.name != revoked]
        self._ring = Ring.of(left)


class Sessions:
    """Makes and judges the tokens of the page's sessions. Nothing is stored of them."""

    def __init__(self, secret: bytes, lasting_s: float) -> None:
        self._secret, self.lasting_s = secret, lasting_s

    def make(self, key: Key, now: datetime) -> str:
        """Make a token for a key."""
        body = f"{key.name}|{int(now.timestamp() + self.lasting_s)}|{secrets.token_hex(8)}"
        return base64.urlsafe_b64encode(f"{body}|{self._proof(key, body)}".encode()).decode("ascii")

    def key(self, token: str, ring: Ring, now: datetime) -> Key | None:
        """Return the key of a token that is ours, young enough, and whose key still opens something."""
        try:
            body, _, proof = base64.urlsafe_b64decode(token[:1024].encode()).decode("ascii").rpartition("|")
            name, until, _ = body.split("|")
            late = now.timestamp() > int(until)
        except ValueError:
            return None
        key = ring.by_name.get(name)
        if key is None or late or not hmac.compare_digest(self._proof(key, body), proof):
            return None
        return replace(key)

    def _proof(self, key: Key, body: str) -> str:
        return hmac.new(self._secret, f"session|{key.digest}|{body}".encode(), "sha256").hexdigest()
