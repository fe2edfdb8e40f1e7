"""Paging, the same at every door: `?limit=50&after=OPAQUE` → `{"items": [...], "next": "OPAQUE" or ""}`.

A cursor says after which item the next page begins, by the item's own key and not by its number, so that what is
added or removed meanwhile neither repeats an item nor leaves one out. It is base64url of the key in JSON: opaque
to clients, and worth nothing to them that they may not see anyway.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from isthmus.faces.http.reading import query

T = TypeVar("T")
MOST = 1000
USUAL = 50


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list. `next` is what the next call gives as `after`; empty: this was the last."""

    items: Sequence[T]
    next: str = ""


class Paged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of a list. A door with more parameters derives its own from this."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = USUAL
    after: Annotated[str, msgspec.Meta(max_length=1000)] = ""


def asked(request: Request, kind: type[T]) -> T:
    """Return the parameters of a call, which were read when it passed its door.

    Raises HTTPException 422 where one is unknown or wrong.
    """
    known = getattr(request.state, "asked", None)
    return known if type(known) is kind else query(request, kind)


def read_page(request: Request) -> Paged:
    """Return which part of a list is asked for. Raises HTTPException 422."""
    return asked(request, Paged)


def cursor(key: object) -> str:
    """Write an item's key (anything that JSON holds) as a cursor."""
    return urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def key_of(text: str, kind: Any) -> Any:
    """Read a cursor; None where it is empty. Raises HTTPException 422 where it is none of ours."""
    if not text:
        return None
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HTTPException(422, "after is no cursor; give back what `next` said, or leave it out") from error


def page(rows: Iterable[T], limit: int, key: Callable[[T], object]) -> Page[T]:
    """Make a page of the rows that are left; reads one more than `limit`, to see whether there is a next page."""
    found = list(islice(rows, limit + 1))
    more = len(found) > limit
    return Page(found[:limit], cursor(key(found[limit - 1])) if more else "")


def part(rows: Sequence[T], asked: Paged, key: Callable[[T], Any]) -> Page[T]:
    """Make a page of a whole list that is in the order of its keys, ascending.

    Raises HTTPException 422 where the cursor is none of ours.
    """
    after = key_of(asked.after, Any)
    if after is None:
        return page(rows, asked.limit, key)
    try:
        rest = [row for row in rows if key(row) > after]
    except TypeError as error:
        raise HTTPException(422, "after is a cursor of another list") from error
    return page(rest, asked.limit, key)
