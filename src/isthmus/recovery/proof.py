"""What ends a report and an inventory: who signed it, and the signature, as two lines of text of one form."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection

from isthmus.core.errors import InputError, Refused
from isthmus.transfer.refusal import Tampered, UnknownKey
from isthmus.transfer.signing import SIGNATURE_BYTES, PublicKey, SigningKey, signed_form

PROOF_BYTES = 142
"""A public key, a line's end, 64 bytes in base64, a line's end."""


def proof(key: SigningKey, purpose: str, *parts: bytes) -> bytes:
    """Sign parts for a purpose; return the two lines."""
    signature = base64.b64encode(key.sign(signed_form(purpose, *parts)))
    return f"{key.public}\n".encode("ascii") + signature + b"\n"


def signer(where: object, lines: bytes, allowed: Collection[PublicKey], purpose: str, *parts: bytes) -> PublicKey:
    """Return who signed, once that is proven and allowed. Raises Tampered, UnknownKey."""
    try:
        named, encoded, rest = lines.decode("ascii").split("\n")
        key, signature = PublicKey.of_text(named), base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error, InputError) as error:
        raise Tampered.at(where, "the signature cannot be read") from error
    if rest or len(signature) != SIGNATURE_BYTES or base64.b64encode(signature).decode("ascii") != encoded:
        raise Tampered.at(where, "the signature cannot be read")
    if key not in allowed:
        raise UnknownKey.at(where, f"signed by key {key.fingerprint}, which is not allowed")
    try:
        key.verify(signature, signed_form(purpose, *parts))
    except Refused as error:
        raise Tampered.at(where, f"it is not what key {key.fingerprint} signed") from error
    return key
