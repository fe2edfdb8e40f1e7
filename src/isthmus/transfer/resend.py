"""The request line that an operator carries back by hand, because nothing else crosses a one-way gate backwards.

    <stream> <epoch> <what> <check>        faces 1 120-130,145-150 K7QM2R
                                           faces 1 snapshot 0W9T4C

`<what>` is `snapshot`, or the stretches that are missing: `since-until` in numbers of changes, `since` excluded,
as in the headers of the bundles. `<check>` is Crockford's base 32 (digits and letters without I, L, O, U) of the
first 30 bits of the BLAKE2b of the line before it: one mistyped line in a billion passes. Reading forgives what
does not matter: capitals, doubled spaces, long dashes, O for 0 and I or L for 1 in the check.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.core.errors import InputError

MOST_STRETCHES = 8
"""More are drawn together at the end: the line stays short, and a little too much is sent again."""

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHECK_DIGITS = 6
_FORGIVEN = str.maketrans("OIL", "011")
_DASHES = str.maketrans("‐‑‒–—−", "------")
_LINE = re.compile(
    r"([a-z0-9][a-z0-9_-]{0,62}) ([1-9]\d{0,9}) (snapshot|\d{1,18}-\d{1,18}(?:,\d{1,18}-\d{1,18})*)"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What a receiver asks for: stretches (since, until] of an epoch, or a snapshot where there are none."""

    stream: str
    epoch: int
    stretches: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, stream: str, epoch: int, missing: Sequence[tuple[int, int]]) -> Request:
        """Build a request of at most MOST_STRETCHES stretches for sorted `missing` ones; none: a snapshot."""
        first, rest = list(missing[: MOST_STRETCHES - 1]), missing[MOST_STRETCHES - 1 :]
        if rest:
            first.append((rest[0][0], rest[-1][1]))
        return cls(stream, epoch, tuple(first))

    def __str__(self) -> str:
        what = ",".join(f"{since}-{until}" for since, until in self.stretches) or "snapshot"
        body = f"{self.stream} {self.epoch} {what}"
        return f"{body} {_check(body)}"

    @classmethod
    def read(cls, line: str) -> Request:
        """Read a line that a person typed. Raises InputError where it was mistyped or is no request."""
        *words, check = line.translate(_DASHES).lower().split() or [""]
        body = " ".join([*words[:2], "".join(words[2:])])
        if check.upper().translate(_FORGIVEN) != _check(body):
            raise InputError(
                f"the request line {line.strip()[:120]!r} was mistyped: its last word does not fit the rest",
                "type it again as `isthmus gate request` printed it, with the six characters at its end",
            )
        match = _LINE.fullmatch(body)
        if match is None:
            raise InputError(f"{line.strip()[:120]!r} is no request line", "see `isthmus gate request`")
        stream, epoch, what = match.groups()
        pairs = [] if what == "snapshot" else [stretch.split("-") for stretch in what.split(",")]
        stretches = tuple((int(since), int(until)) for since, until in pairs)
        if any(since >= until for since, until in stretches):
            raise InputError(f"{line.strip()[:120]!r} asks for a stretch that ends before it begins")
        return cls(stream, int(epoch), stretches)


def _check(body: str) -> str:
    number = int.from_bytes(hashlib.blake2b(body.encode(), digest_size=4).digest(), "big") >> 2
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(_CHECK_DIGITS)))
