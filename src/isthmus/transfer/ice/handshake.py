"""Who speaks to whom: the messages of the signalling and what is signed in them. Decides only, without I/O.

    server  hello   a fresh nonce
    device  offer   its name, a nonce of its own, its session description, its signature over all of it
    server  answer  its session description, its signature over the whole exchange
    server  refusal instead of an answer

Both descriptions carry the SHA-256 of a DTLS certificate, and an engine speaks with no other certificate. Whoever
carries the messages can therefore read and delay them, but neither end ever talks to somebody else:

- each signature names its purpose and covers both nonces, so none can be used a second time or in another place;
- the device's covers the server's key, so another server cannot pass it on as meant for itself;
- the server's covers the device's key, name and offer, so an answer fits one offer alone.

Messages are JSON objects with a `kind`; bytes are standard base64. Unknown fields, other types and more than
MOST_SIGNAL_BYTES are Corrupt.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from isthmus.core.errors import Corrupt, Refused
from isthmus.transfer.ice import sdp
from isthmus.transfer.signing import SIGNATURE_BYTES, PublicKey, SigningKey, signed_form

VERSION = 1
NONCE_BYTES = 32
MOST_SIGNAL_BYTES = 64 * 1024
MOST_NAME = 200

OFFER_PURPOSE = "isthmus ice offer 1"
ANSWER_PURPOSE = "isthmus ice answer 1"

Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Signature = Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_NAME)]
Description = Annotated[str, msgspec.Meta(max_length=sdp.MOST_SDP_BYTES)]

Known = Callable[[str], PublicKey | None]
"""Returns the key of a device that may connect; None for one that is unknown or revoked."""


class Signal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A message of the signalling."""


class Hello(Signal, frozen=True, tag="hello"):
    """What a server says first."""

    version: int
    nonce: Nonce


class Offer(Signal, frozen=True, tag="offer"):
    """What a device answers to a Hello."""

    device: Name
    nonce: Nonce
    sdp: Description
    signature: Signature


class Answer(Signal, frozen=True, tag="answer"):
    """What a server answers to an Offer that it accepts."""

    sdp: Description
    signature: Signature


class Refusal(Signal, frozen=True, tag="refusal"):
    """What a server answers to an Offer that it does not accept. It is not signed: it proves nothing."""

    reason: Annotated[str, msgspec.Meta(max_length=500)]


S = TypeVar("S", Hello, Offer)


def read(text: str, kind: type[S]) -> S:
    """Read a message of this kind. Raises Corrupt."""
    message: S = _decoded(text, kind)
    return message


def read_reply(text: str) -> Answer | Refusal:
    """Read what a server answers to an Offer. Raises Corrupt."""
    reply: Answer | Refusal = _decoded(text, Answer | Refusal)
    return reply


def write(message: Signal) -> str:
    """Write a message."""
    return msgspec.json.encode(message).decode()


def hello() -> Hello:
    """Begin an exchange, with a nonce that was never used before."""
    return Hello(VERSION, secrets.token_bytes(NONCE_BYTES))


def offer(greeting: Hello, device: str, description: str, key: SigningKey, server: PublicKey) -> Offer:
    """Sign a device's offer. Raises Corrupt for a server that speaks another version."""
    if greeting.version != VERSION:
        raise Corrupt(f"the server speaks version {greeting.version} of the signalling, this is {VERSION}")
    nonce = secrets.token_bytes(NONCE_BYTES)
    return Offer(device, nonce, description, key.sign(_offer_form(greeting, device, nonce, description, server)))


def check_offer(greeting: Hello, came: Offer, known: Known, server: PublicKey) -> PublicKey:
    """Return the key of the device that made the offer.

    Raises Refused where the device is unknown or revoked, or the signature is not its; Corrupt where it signed a
    description of anything but one data channel.
    """
    key = known(came.device)
    if key is None:
        raise Refused(f"device {came.device!r} is unknown or revoked", "enrol it at the server")
    try:
        key.verify(came.signature, _offer_form(greeting, came.device, came.nonce, came.sdp, server))
    except Refused as error:
        what = f"the offer was not signed by device {came.device!r} for this exchange"
        raise Refused(what, "enrol the device again if its key has changed") from error
    sdp.check(came.sdp)
    return key


def answer(greeting: Hello, came: Offer, device_key: PublicKey, description: str, key: SigningKey) -> Answer:
    """Sign a server's answer to an offer that was checked."""
    return Answer(description, key.sign(_answer_form(greeting, came, device_key, description)))


def check_answer(
    greeting: Hello, sent: Offer, device_key: PublicKey, came: Answer | Refusal, server: PublicKey
) -> str:
    """Return the server's session description. Raises Refused, also where the signature is not the server's."""
    if isinstance(came, Refusal):
        what = f"the server refused the connection: {came.reason}"
        raise Refused(what, "ask its operator whether this device is enrolled")
    try:
        server.verify(came.signature, _answer_form(greeting, sent, device_key, came.sdp))
    except Refused as error:
        what = f"the answer was not signed by the server with key {server.fingerprint} for this exchange"
        raise Refused(what, "somebody stands between, or the server's key has changed: enrol again") from error
    sdp.check(came.sdp)
    return came.sdp


def _decoded(text: str, kind: Any) -> Any:
    if len(text) > MOST_SIGNAL_BYTES:
        raise Corrupt(f"a signalling message of more than {MOST_SIGNAL_BYTES} bytes")
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Corrupt(f"a signalling message that cannot be read: {error}") from error


def _offer_form(greeting: Hello, device: str, nonce: bytes, description: str, server: PublicKey) -> bytes:
    return signed_form(
        OFFER_PURPOSE, greeting.nonce, nonce, device.encode(), server.raw, description.encode("utf-8")
    )


def _answer_form(greeting: Hello, sent: Offer, device_key: PublicKey, description: str) -> bytes:
    return signed_form(
        ANSWER_PURPOSE,
        greeting.nonce,
        sent.nonce,
        sent.device.encode(),
        device_key.raw,
        sent.sdp.encode("utf-8"),
        description.encode("utf-8"),
    )
