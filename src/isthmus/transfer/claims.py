"""What a bundle claims, in bytes: its header, the manifest of its members, and the signature over both.

All three have one form only: what is read is written again and compared, so that a byte that means nothing cannot
be changed unseen. Reading goes outside in: the header (to know the stream), the signature, and only then the
manifest. `where` names the file in errors.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from isthmus.core.digest import KEY_BYTES
from isthmus.core.errors import InputError, Refused
from isthmus.core.header import FORMAT, BundleName, Header, Kind
from isthmus.transfer.limits import Limits
from isthmus.transfer.refusal import NewerFormat, Tampered, TooLarge, UnknownKey
from isthmus.transfer.signing import SIGNATURE_BYTES, Allowed, PublicKey, SigningKey, signed_form

HEADER, MANIFEST, SIGNATURE = "header.json", "manifest.json", "signature"
RESERVED = frozenset((HEADER, MANIFEST, SIGNATURE))
MEMBER = re.compile(r"[a-z0-9][a-z0-9._-]{0,94}")
SIGNATURE_SIZE = 142
"""Bytes of the signature's text: a public key, a line's end, 64 bytes in base64, a line's end."""

_SUFFIX = {"zstd": ".zst", "none": ""}
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END_S = 8**11
_MOST_WORDS = 200
_COUNTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COUNT_END = 1 << 63


@dataclass(frozen=True, slots=True)
class Listed:
    """One member as the manifest tells it: packed size, unpacked size, BLAKE3 of the packed bytes."""

    path: str
    size: int
    unpacked: int
    blake3: bytes


def path_of(member: str, codec: str) -> str:
    """Return the path under which a member is stored. Raises InputError for a name that no member may have."""
    if not MEMBER.fullmatch(member) or member in RESERVED:
        raise InputError(f"{member!r} is no name of a member", "use small letters, digits and . _ -")
    return member + _SUFFIX[codec]


def member_of(path: str, codec: str) -> str | None:
    """Return the member that is stored under a path; None where it is none."""
    member = path.removesuffix(_SUFFIX[codec])
    proper = MEMBER.fullmatch(member) and member not in RESERVED and member + _SUFFIX[codec] == path
    return member if proper else None


def seconds(header: Header) -> int:
    """Return when a bundle was made, in whole seconds since 1970."""
    return (header.made - _BEGINNING) // timedelta(seconds=1)


def write_header(header: Header) -> bytes:
    """Write a header in its one form. Raises InputError for one that cannot travel."""
    wrong = _improper(header)
    if wrong:
        raise InputError(f"a bundle of {header.stream} cannot be made: {wrong}")
    return _json(header.to_json())


def read_header(where: object, content: bytes) -> Header:
    """Read a header, which nobody has vouched for yet. Raises Tampered, NewerFormat."""
    value = _parsed(where, content, HEADER)
    number = value.get("format")
    if type(number) is int and number > FORMAT:
        raise NewerFormat.at(where, f"made in format {number}, this release reads up to {FORMAT}")
    if not isinstance(value.get("since"), dict) or not isinstance(value.get("until"), dict):
        raise Tampered.at(where, "the header tells no positions")
    try:
        header = Header.of_json(value)
        wrong = _improper(header) or ("" if _json(header.to_json()) == content else "it is not in its one form")
    except (ValueError, OverflowError, RecursionError) as error:
        raise Tampered.at(where, f"the header cannot be read: {str(error)[:_MOST_WORDS]}") from error
    if wrong:
        raise Tampered.at(where, f"the header cannot be read: {wrong}")
    return header


def _improper(header: Header) -> str:
    """Say why a header cannot travel; the empty string where it can."""
    if len(header.key) != KEY_BYTES:
        return f"the key of a stream's digests has {KEY_BYTES} bytes, not {len(header.key)}"
    if not 0 <= seconds(header) < _END_S:
        return f"the time {header.made.isoformat()} does not fit"
    if not all(_COUNTED.fullmatch(name) and count < _COUNT_END for name, count in header.counts.items()):
        return "what is counted has a name of ASCII letters, digits and . _ -, and a number of 63 bits"
    name = BundleName(header.stream, header.until.epoch, header.until.seq, "tar")
    if BundleName.of(str(name)) != name:
        return f"no file can be named after {header.until}"
    return ""


def write_manifest(listed: Iterable[Listed]) -> bytes:
    """Write the manifest of members, which are sorted by path, in its one form."""
    members = [
        {"path": one.path, "size": one.size, "unpacked": one.unpacked, "blake3": one.blake3.hex()}
        for one in listed
    ]
    return _json({"format": FORMAT, "members": members})


def read_manifest(where: object, content: bytes, header: Header, limits: Limits) -> tuple[Listed, ...]:
    """Read the manifest of a bundle whose signature was verified. Raises Tampered, TooLarge."""
    members = _parsed(where, content, MANIFEST).get("members")
    try:
        listed = tuple(
            Listed(one["path"], one["size"], one["unpacked"], bytes.fromhex(one["blake3"]))
            for one in members or ()
        )
        whole = write_manifest(listed) == content
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise Tampered.at(where, "the manifest does not list members") from error
    if not whole:
        raise Tampered.at(where, "the manifest is not in its one form")
    for one in listed:
        _check(where, one, header.codec, limits)
    if any(before.path >= after.path for before, after in itertools.pairwise(listed)):
        raise Tampered.at(where, "the members of the manifest are not sorted, or one is there twice")
    if len(listed) > limits.most_members:
        raise TooLarge.at(where, f"{len(listed)} members, at most {limits.most_members} are allowed")
    if header.kind is Kind.HEARTBEAT and listed:
        raise Tampered.at(where, "a heartbeat that carries something")
    return listed


def check_sizes(where: object, header: bytes, manifest: bytes, limits: Limits) -> None:
    """Raise TooLarge where header or manifest is larger than is allowed."""
    for what, content, most in (
        (HEADER, header, limits.most_header_bytes),
        (MANIFEST, manifest, limits.most_manifest_bytes),
    ):
        if len(content) > most:
            raise TooLarge.at(where, f"{what} has {len(content):,} bytes, {most:,} at most are allowed")


def _check(where: object, one: Listed, codec: str, limits: Limits) -> None:
    """Raise Tampered or TooLarge where a member's claims cannot be, or are more than is allowed."""
    if not isinstance(one.path, str) or member_of(one.path, codec) is None:
        raise Tampered.at(where, f"no member can be stored as {one.path!r}")
    sizes = (one.size, one.unpacked)
    if any(type(size) is not int or size < 0 for size in sizes) or len(one.blake3) != 32:
        raise Tampered.at(where, f"{one.path} has no sizes or digest that could be")
    if one.unpacked > limits.most_member_bytes:
        raise TooLarge.at(where, f"{one.path} holds {one.unpacked:,} bytes, {limits.most_member_bytes:,} at most")
    if codec == "none" and one.size != one.unpacked:
        raise Tampered.at(where, f"{one.path} is not packed, yet has two sizes")
    if not limits.allows_ratio(one.size, one.unpacked):
        raise TooLarge.at(where, f"{one.path} unpacks to more than {limits.most_ratio} times its size")


def write_signature(key: SigningKey, purpose: str, header: bytes, manifest: bytes) -> bytes:
    """Sign header and manifest for a purpose: two lines, the public key and the signature in base64."""
    signature = key.sign(signed_form(purpose, header, manifest))
    return f"{key.public}\n{base64.b64encode(signature).decode('ascii')}\n".encode("ascii")


def verify_signature(
    where: object, content: bytes, purpose: str, header: tuple[Header, bytes], manifest: bytes, allowed: Allowed
) -> PublicKey:
    """Return who signed, once that is proven and allowed for the header's stream. Raises Tampered, UnknownKey."""
    stream = header[0].stream
    try:
        named, encoded, rest = content.decode("ascii").split("\n")
        key, signature = PublicKey.of_text(named), base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error, InputError) as error:
        raise Tampered.at(where, "the signature cannot be read") from error
    if rest or len(signature) != SIGNATURE_BYTES or base64.b64encode(signature).decode("ascii") != encoded:
        raise Tampered.at(where, "the signature cannot be read")
    if key not in allowed.get(stream, frozenset()):
        raise UnknownKey.at(where, f"signed by key {key.fingerprint}, which is not allowed for stream {stream!r}")
    try:
        key.verify(signature, signed_form(purpose, header[1], manifest))
    except Refused as error:
        raise Tampered.at(where, f"header or manifest is not what key {key.fingerprint} signed") from error
    return key


def _json(value: dict[str, Any]) -> bytes:
    """Write JSON in its one form: ASCII, keys sorted, no spaces, a line's end."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def _parsed(where: object, content: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object that may be hostile. Raises Tampered."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Tampered.at(where, f"{what} is no JSON") from error
    if not isinstance(value, dict):
        raise Tampered.at(where, f"{what} is no JSON object")
    return value
