"""Rows of the ledger ⇄ values of the ports."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Line
from isthmus.acquire.request import Wish
from isthmus.acquire.states import State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SEPARATOR = "\x1f"  # no tag has control characters

encode = msgspec.json.Encoder().encode
wish_of = msgspec.json.Decoder(Wish).decode
filed_of = msgspec.json.Decoder(Filed).decode
_failure_of = msgspec.json.Decoder(Failure).decode


def micros(moment: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(number: int) -> datetime:
    """Return the time that so many microseconds since 1970 are."""
    return _EPOCH + timedelta(microseconds=number)


def moment_or_none(number: int | None) -> datetime | None:
    """Return the time that a column holds."""
    return None if number is None else moment(number)


def failure_of(raw: bytes | None) -> Failure | None:
    """Return the failure that a column holds."""
    return None if raw is None else _failure_of(raw)


def tags_text(tags: Iterable[str]) -> str:
    """Write tags so that one of them can be found in the text by `tag_text`."""
    return _SEPARATOR + _SEPARATOR.join(tags) + _SEPARATOR


def tag_text(tag: str) -> str:
    """Write one tag as it stands in `tags_text`."""
    return _SEPARATOR + tag + _SEPARATOR


LINE = "r.number, b.name, b.owner, r.wish, r.state, r.attempts, b.trace, r.changed, r.due, i.filed, r.failure"
"""What `line_of` needs of request r, batch b and image i."""


def line_of(row: tuple[Any, ...]) -> Line:
    """Build a line of `LINE`."""
    number, batch, owner, wish, state, attempts, trace, changed, due, filed, failure = row
    return Line(
        number,
        batch,
        owner,
        wish_of(wish),
        State(state),
        attempts,
        trace,
        moment(changed),
        moment_or_none(due),
        None if filed is None else filed_of(filed),
        failure_of(failure),
    )
