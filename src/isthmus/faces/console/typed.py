"""Addresses that a person typed, as the list that `isthmus acquire send` takes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from isthmus.core.errors import InputError

MOST_LINES = 1000
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def table_of(text: str, environment: str, tags: Sequence[str] = (), priority: int | None = None) -> bytes:
    """Write a CSV of one request a line: an address, or a record's id and an address.

    Where no id was typed it is the address's last part, numbered where two are the same. Raises InputError where
    nothing was typed, or where a line or a field cannot be a request.
    """
    rows: list[tuple[str, str]] = []
    taken: set[str] = set()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line:
            rows.append(_row(line, number, taken))
    if not rows:
        raise InputError("no address was typed", "type one a line")
    if len(rows) > MOST_LINES:
        raise InputError(f"{len(rows)} lines are more than {MOST_LINES}", "send a list as a file")
    _judge(rows, environment, tags, priority)
    into = io.StringIO()
    out = csv.writer(into, lineterminator="\n")
    out.writerow(("address", "environment", "record", "tags", "priority"))
    out.writerows(
        (address, environment, record, "|".join(tags), "" if priority is None else priority)
        for record, address in rows
    )
    return into.getvalue().encode()


def _row(line: str, number: int, taken: set[str]) -> tuple[str, str]:
    words = line.split(None, 1)
    if len(words) == 2 and not _SCHEME.match(line):
        record, address = words
        if record in taken:
            raise InputError(f"line {number}: the record {record!r} stands there twice", "give each its own id")
    else:
        address = line
        last = re.sub(r"[?#].*$", "", address).rstrip("/").rpartition("/")[2]
        wanted = record = _ENDING.sub("", last) or "image"
        again = 2
        while record in taken:
            record, again = f"{wanted}-{again}", again + 1
    taken.add(record)
    return record, address


def _judge(rows: Sequence[tuple[str, str]], environment: str, tags: Sequence[str], priority: int | None) -> None:
    from isthmus.acquire.request import USUAL_PRIORITY, Wish, check

    if any("|" in tag for tag in tags):
        raise InputError("a tag has no |", "separate tags by commas")
    usual = USUAL_PRIORITY if priority is None else priority
    for number, (record, address) in enumerate(rows, 1):
        try:
            check(Wish(address, environment, record, usual, tags=tuple(tags)))
        except InputError as error:
            raise InputError(f"line {number}: {error.what}", error.hint) from error
