"""What a device and the server tell each other when the device is enrolled: one request and one answer, JSON.

The request proves that the device owns the key it registers: it is signed for this purpose over the token. The
token itself is the right to enrol; it travels over HTTPS only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from isthmus.core.errors import InputError, Refused
from isthmus.transfer.signing import PublicKey, SigningKey, signed_form

PURPOSE = "isthmus device enrol 1"
MOST_BODY_BYTES = 4096

_Short = Annotated[str, Meta(min_length=1, max_length=300)]


class _Request(Struct, frozen=True, forbid_unknown_fields=True):
    token: _Short
    key: _Short
    proof: Annotated[bytes, Meta(min_length=64, max_length=64)]


class _Answer(Struct, frozen=True, forbid_unknown_fields=True):
    device: _Short
    server: _Short


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a device knows after its enrolment: its own name, and the key by which it recognises the server."""

    device: str
    server: PublicKey


def request(token: str, key: SigningKey) -> bytes:
    """Write a device's request."""
    proof = key.sign(signed_form(PURPOSE, token.encode()))
    return msgspec.json.encode(_Request(token, str(key.public), proof))


def of_request(body: bytes) -> tuple[str, PublicKey]:
    """Read a request: the token, and the key whose owner sent it. Raises Refused."""
    if len(body) > MOST_BODY_BYTES:
        raise Refused(f"a request of {len(body)} bytes is no enrolment")
    try:
        asked = msgspec.json.decode(body, type=_Request)
        key = PublicKey.of_text(asked.key)
    except (msgspec.MsgspecError, InputError, UnicodeError) as error:
        raise Refused(f"the enrolment cannot be read: {error}") from error
    key.verify(asked.proof, signed_form(PURPOSE, asked.token.encode()))
    return asked.token, key


def answer(device: str, server: PublicKey) -> bytes:
    """Write the server's answer."""
    return msgspec.json.encode(_Answer(device, str(server)))


def of_answer(body: bytes) -> Enrolled:
    """Read the server's answer. Raises Refused."""
    try:
        found = msgspec.json.decode(body[: MOST_BODY_BYTES + 1], type=_Answer)
        return Enrolled(found.device, PublicKey.of_text(found.server))
    except (msgspec.MsgspecError, InputError, UnicodeError) as error:
        raise Refused(f"the server's answer to the enrolment cannot be read: {error}") from error
