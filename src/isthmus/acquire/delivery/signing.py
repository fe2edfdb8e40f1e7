"""Signatures of deliveries as Standard Webhooks has them (github.com/standard-webhooks, spec 1.0).

Signed is `{id}.{unix seconds}.{digest}`. The digest, the BLAKE3 of the body's head, which names the BLAKE3 of each
content, stands for the payload, so that the headers can be judged before a byte of the body is read. `v1` is
HMAC-SHA256 with a shared secret (`whsec_<base64>`), `v1a` Ed25519 (`whsk_<base64 of the seed>`,
`whpk_<base64 of the public key>`), for environments that are not trusted with a shared secret. No message ever
holds a secret or a signature.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from isthmus.core.errors import InputError, Refused

WINDOW_S = 300
ID, TIMESTAMP, SIGNATURE, DIGEST = "webhook-id", "webhook-timestamp", "webhook-signature", "isthmus-digest"
MOST_KEYS = 2
"""The one that is used, and during a rotation the one before or after it."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-f]{64}")
_LEAST_SECRET, _MOST_SECRET, _SEED = 24, 64, 32
_MOST_SIGNATURES = 8


@dataclass(frozen=True, slots=True)
class Signed:
    """What headers proved: who made them was in possession of a key. `digest` is that of the body's head."""

    id: str
    at: datetime
    digest: str


class Signer(Protocol):
    """Whatever makes a signature of one version."""

    def sign(self, content: bytes) -> str:
        """Return `version,base64`."""
        ...


class Checker(Protocol):
    """Whatever tells a right signature of its version."""

    @property
    def version(self) -> str:
        """The version that it knows."""
        ...

    def matches(self, content: bytes, signature: bytes) -> bool:
        """Tell whether this is a signature of the content, in constant time."""
        ...


class SharedSecret:
    """A secret of 24 to 64 bytes that agent and server share: signs and checks by HMAC-SHA256."""

    __slots__ = ("_raw",)
    version = "v1"

    def __init__(self, raw: bytes) -> None:
        if not _LEAST_SECRET <= len(raw) <= _MOST_SECRET:
            raise InputError(f"a secret has {_LEAST_SECRET} to {_MOST_SECRET} bytes, not {len(raw)}", "make one")
        self._raw = raw

    @classmethod
    def create(cls) -> SharedSecret:
        """Make a secret of 32 random bytes."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def of_text(cls, text: str) -> SharedSecret:
        """Read `whsec_<base64>`. Raises InputError, without the text in it."""
        return cls(_decoded(text, "whsec_", "secret"))

    def text(self) -> str:
        """Write the secret out, for a file that only its owner reads."""
        return "whsec_" + base64.b64encode(self._raw).decode("ascii")

    def sign(self, content: bytes) -> str:
        """Return `v1,` and the HMAC-SHA256 of the content in base64."""
        return "v1," + base64.b64encode(hmac.digest(self._raw, content, "sha256")).decode("ascii")

    def matches(self, content: bytes, signature: bytes) -> bool:
        """Tell whether this is the content's HMAC-SHA256, in constant time."""
        return hmac.compare_digest(hmac.digest(self._raw, content, "sha256"), signature)

    def __repr__(self) -> str:
        return "SharedSecret(…)"


class PrivateKey:
    """An Ed25519 key that stays in its environment: signs."""

    __slots__ = ("_key",)

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _SEED:
            raise InputError(f"the seed of a private key has {_SEED} bytes, not {len(seed)}", "make a new key")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def create(cls) -> PrivateKey:
        """Make a new key."""
        return cls(secrets.token_bytes(_SEED))

    @classmethod
    def of_text(cls, text: str) -> PrivateKey:
        """Read `whsk_<base64 of the seed>`. Raises InputError, without the text in it."""
        return cls(_decoded(text, "whsk_", "private key"))

    def text(self) -> str:
        """Write the key out, for a file that only its owner reads."""
        return "whsk_" + base64.b64encode(self._key.private_bytes_raw()).decode("ascii")

    @property
    def public(self) -> PublicKey:
        """The key that checks this one's signatures."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, content: bytes) -> str:
        """Return `v1a,` and the Ed25519 signature in base64."""
        return "v1a," + base64.b64encode(self._key.sign(content)).decode("ascii")

    def __repr__(self) -> str:
        return f"PrivateKey(of {self.public.text()})"


class PublicKey:
    """The public half of an environment's key, which the server holds: checks."""

    __slots__ = ("_raw",)
    version = "v1a"

    def __init__(self, raw: bytes) -> None:
        if len(raw) != _SEED:
            raise InputError(f"a public key has {_SEED} bytes, not {len(raw)}", "copy all of whpk_…")
        self._raw = raw

    @classmethod
    def of_text(cls, text: str) -> PublicKey:
        """Read `whpk_<base64>`. Raises InputError."""
        return cls(_decoded(text, "whpk_", "public key"))

    def text(self) -> str:
        """Write the key as `whpk_<base64>`."""
        return "whpk_" + base64.b64encode(self._raw).decode("ascii")

    def matches(self, content: bytes, signature: bytes) -> bool:
        """Tell whether the private half signed the content."""
        try:
            Ed25519PublicKey.from_public_bytes(self._raw).verify(signature, content)
        except (InvalidSignature, ValueError):
            return False
        return True

    def __repr__(self) -> str:
        return f"PublicKey({self.text()})"


def signer_of(text: str) -> SharedSecret | PrivateKey:
    """Read what an agent signs with: `whsec_…` or `whsk_…`. Raises InputError."""
    return PrivateKey.of_text(text) if text.startswith("whsk_") else SharedSecret.of_text(text)


def checker_of(text: str) -> SharedSecret | PublicKey:
    """Read what a server checks with: `whsec_…` or `whpk_…`. Raises InputError."""
    return PublicKey.of_text(text) if text.startswith("whpk_") else SharedSecret.of_text(text)


def headers(signer: Signer, digest: str, now: datetime, id: str = "") -> dict[str, str]:
    """Make the headers of a delivery whose head has this BLAKE3; without an `id` a random one is made."""
    id = id or "msg_" + secrets.token_hex(12)
    timestamp = str(int(now.timestamp()))
    return {
        ID: id,
        TIMESTAMP: timestamp,
        SIGNATURE: signer.sign(_content(id, timestamp, digest)),
        DIGEST: digest,
    }


def verify(checkers: Sequence[Checker], given: Mapping[str, str], now: datetime) -> Signed:
    """Judge the headers of a delivery, before its body is read. Names of headers are in lower case.

    Raises Refused where one is missing or malformed, where the time is more than five minutes from `now` either
    way, or where no signature is one of the `checkers`, of which there are at most two.
    """
    if not 0 < len(checkers) <= MOST_KEYS:
        raise InputError(
            f"{len(checkers)} keys for one environment, 1 to {MOST_KEYS} are allowed", "retire the oldest"
        )
    id, timestamp, digest = (given.get(name, "") for name in (ID, TIMESTAMP, DIGEST))
    for name, value, form in ((ID, id, _ID), (TIMESTAMP, timestamp, _TIMESTAMP), (DIGEST, digest, _HEX)):
        if not form.fullmatch(value):
            raise Refused(f"the delivery's header {name} is {'not right' if value else 'missing'}")
    at = int(timestamp)
    if abs(now.timestamp() - at) > WINDOW_S:
        when = "old" if at < now.timestamp() else "early"
        raise Refused(f"the delivery is more than {WINDOW_S // 60} minutes {when}", "look at both clocks")
    content = _content(id, timestamp, digest)
    found = given.get(SIGNATURE, "").split(" ")[:_MOST_SIGNATURES]
    right = [
        checker.matches(content, signature)
        for version, signature in filter(None, map(_signature, found))
        for checker in checkers
        if checker.version == version
    ]
    if not any(right):  # all were compared: how long it took tells nothing of which one came near
        raise Refused("the delivery is not signed by a key of its environment", "compare the credentials")
    return Signed(id, datetime.fromtimestamp(at, UTC), digest)


def _content(id: str, timestamp: str, digest: str) -> bytes:
    return f"{id}.{timestamp}.{digest}".encode("ascii")


def _signature(text: str) -> tuple[str, bytes] | None:
    version, comma, encoded = text.partition(",")
    try:
        return (version, base64.b64decode(encoded, validate=True)) if comma and len(encoded) <= 128 else None
    except (binascii.Error, ValueError):
        return None


def _decoded(text: str, prefix: str, what: str) -> bytes:
    try:
        if text.startswith(prefix):
            return base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        pass
    raise InputError(f"this is no {what}: it is written {prefix}<base64>", "copy all of it")
