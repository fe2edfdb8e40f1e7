"""What people and screens ask the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Batch, Depth, Event, Held, Hold, Line, Which
from isthmus.acquire.queue.rows import (
    LINE,
    failure_of,
    filed_of,
    line_of,
    micros,
    moment,
    moment_or_none,
    tag_text,
    wish_of,
)
from isthmus.acquire.queue.steering import range_of
from isthmus.acquire.queue.tables import COUNTED
from isthmus.acquire.queue.work import Reads
from isthmus.acquire.states import LIVE, State

_LIVE_WORDS = COUNTED[: len(LIVE)]
_BATCH = "b.number, b.name, b.owner, b.label, b.made, b.paused, s.ended"


def held(reads: Reads, asked: Sequence[Held]) -> list[Hold | None]:
    """Tell what is known of requests."""
    rows = reads.rows(
        "SELECT r.number, r.environment, r.state, r.fence, r.attempts, r.wish, b.trace FROM request r "
        f"JOIN batch b ON b.number = r.batch WHERE r.number {reads.among}",
        [reads.listed({one.request for one in asked})],
    )
    found = {row[0]: row for row in rows}
    holds: list[Hold | None] = []
    for one in asked:
        row = found.get(one.request)
        if row is None:
            holds.append(None)
            continue
        number, environment, state, fence, attempts, wish, trace = row
        ours = fence == one.fence and fence > 0
        holds.append(Hold(number, environment, State(state), ours, attempts, wish_of(wish), trace))
    return holds


def batch(reads: Reads, name: str) -> Batch:
    """Return one batch. Raises UnknownName."""
    first, _ = range_of(reads, name)
    sql = f"SELECT {_BATCH} FROM batch b JOIN standing s ON s.batch = b.number WHERE b.number = ?"
    return _batches(reads, reads.rows(sql, [first]))[0]


def batches(reads: Reads, owner: str, after: str, most: int) -> list[Batch]:
    """Return batches, newest first."""
    where, values = ["1 = 1"], list[Any]()
    if owner:
        where.append("b.owner = ?")
        values.append(owner)
    if after:
        where.append("b.number < ?")
        values.append(range_of(reads, after)[0])
    sql = (
        f"SELECT {_BATCH} FROM batch b JOIN standing s ON s.batch = b.number "
        f"WHERE {' AND '.join(where)} ORDER BY b.number DESC LIMIT ?"
    )
    return _batches(reads, reads.rows(sql, [*values, most]))


def _batches(reads: Reads, rows: Sequence[tuple[Any, ...]]) -> list[Batch]:
    numbers = reads.listed([row[0] for row in rows])
    counts: dict[int, dict[str, int]] = {row[0]: {} for row in rows}
    sums = ", ".join(f"CAST(sum({word}) AS BIGINT)" for word in COUNTED)
    for number, *sizes in reads.rows(
        f"SELECT batch, {sums} FROM tally WHERE batch {reads.among} GROUP BY batch", [numbers]
    ):
        counts[number] = {word: size for word, size in zip(COUNTED, sizes, strict=True) if size}
    failures: dict[int, dict[str, int]] = {row[0]: {} for row in rows}
    for number, kind, failed in reads.rows(
        f"SELECT batch, kind, failed FROM missed_by_kind WHERE failed > 0 AND batch {reads.among}", [numbers]
    ):
        failures[number][kind] = failed
    return [
        Batch(
            name, owner, label, moment(made), bool(paused), counts[number], failures[number], moment_or_none(ended)
        )
        for number, name, owner, label, made, paused, ended in rows
    ]


def lines(reads: Reads, which: Which, after: int, most: int, newest: bool) -> list[Line]:
    """Return requests by number, or newest first."""
    where, values = _restrictions(reads, which)
    if after:
        where.append("r.number < ?" if newest else "r.number > ?")
        values.append(after)
    order = "DESC" if newest else "ASC"
    narrow = which.batch or which.kind or which.place or which.taken_from or which.taken_until
    if which.owner and not narrow:  # from batch to batch: only theirs are touched
        source = f"batch b {reads.nested} request r ON r.number BETWEEN b.number AND b.number + b.requests - 1"
        by = f"b.number {order}, r.number {order}"
        if after:
            where.append("b.number < ?" if newest else "b.number + b.requests > ?")
            values.append(after)
    else:
        source, by = "request r JOIN batch b ON b.number = r.batch", f"r.number {order}"
    sql = (
        f"SELECT {LINE} FROM {source} LEFT JOIN image i ON i.number = r.image "
        f"WHERE {' AND '.join(where) or '1 = 1'} ORDER BY {by} LIMIT ?"
    )
    return [line_of(row) for row in reads.rows(sql, [*values, most])]


def _restrictions(reads: Reads, which: Which) -> tuple[list[str], list[Any]]:
    where, values = list[str](), list[Any]()

    def restrict(condition: str, *added: object) -> None:
        where.append(condition)
        values.extend(added)

    if which.owner:
        restrict("b.owner = ?", which.owner)
    if which.batch:
        restrict("r.number BETWEEN ? AND ?", *range_of(reads, which.batch))
    if which.environment:
        restrict("r.environment = ?", which.environment)
    if len(which.states) == 1:
        restrict(f"r.state = {int(which.states[0])}")
    elif which.states:
        restrict(f"r.state IN ({', '.join(str(int(state)) for state in which.states)})")
    if which.kind:
        restrict("r.kind = ?", which.kind)
    if which.place:
        restrict("r.place = ?", which.place)
    if which.tag:
        restrict(f"{reads.position}(r.tags, ?) > 0", tag_text(which.tag))
    if which.taken_from is not None:
        restrict("r.taken >= ?", micros(which.taken_from))
    if which.taken_until is not None:
        restrict("r.taken < ?", micros(which.taken_until))
    return where, values


_LINES = f"SELECT {LINE} FROM request r JOIN batch b ON b.number = r.batch LEFT JOIN image i ON i.number = r.image"


def line(reads: Reads, request: int) -> Line | None:
    """Return one request."""
    rows = reads.rows(f"{_LINES} WHERE r.number = ?", [request])
    return line_of(rows[0]) if rows else None


def filed(reads: Reads, digest: str) -> Filed | None:
    """Return an image that somebody still has."""
    rows = reads.rows("SELECT filed FROM image WHERE digest = ? AND users > 0 ORDER BY number LIMIT 1", [digest])
    return filed_of(rows[0][0]) if rows else None


def events(reads: Reads, after: int, most: int, owner: str, batch: str) -> list[Event]:
    """Return events, oldest first."""
    where, values = ["e.number > ?"], [after]
    if owner:
        where.append("e.owner = ?")
        values.append(owner)  # type: ignore[arg-type]
    if batch:
        where.append("e.batch = ?")
        values.append(range_of(reads, batch)[0])
    rows = reads.rows(
        "SELECT e.number, e.at, e.kind, b.name, e.owner, e.request, r.wish, i.filed, e.failure FROM event e "
        "JOIN batch b ON b.number = e.batch JOIN request r ON r.number = e.request "
        f"LEFT JOIN image i ON i.number = e.image WHERE {' AND '.join(where)} ORDER BY e.number LIMIT ?",
        [*values, most],
    )
    told = []
    for number, at, kind, name, of, request, raw, image, failure in rows:
        wish = wish_of(raw)
        told.append(
            Event(
                number, moment(at), kind, name, of, request, wish.record, wish.environment, wish.tags,
                None if image is None else filed_of(image), failure_of(failure),
            )
        )  # fmt: skip
    return told


def latest(reads: Reads) -> int:
    """Return the number of the latest event."""
    return int(reads.rows("SELECT event FROM counter WHERE id = 1")[0][0])


def depths(reads: Reads, now: datetime) -> list[Depth]:
    """Tell the live counts of every environment."""
    found = []
    for environment, *counts in reads.rows(
        f"SELECT environment, {', '.join(_LIVE_WORDS)} FROM depth ORDER BY environment"
    ):
        oldest = reads.rows(
            "SELECT b.made FROM tally t JOIN batch b ON b.number = t.batch "
            "WHERE t.environment = ? AND t.queued > 0 ORDER BY t.batch LIMIT 1",
            [environment],
        )
        age_s = max(0.0, (micros(now) - oldest[0][0]) / 1e6) if oldest else 0.0
        named = {word: count for word, count in zip(_LIVE_WORDS, counts, strict=True) if count}
        found.append(Depth(environment, named, age_s))
    return found


def images_after(reads: Reads, number: int, most: int) -> list[tuple[int, Line]]:
    """Return done requests by the number of their event, with the image that it told of."""
    rows = reads.rows(
        f"SELECT e.number, {LINE} FROM event e JOIN request r ON r.number = e.request "
        "JOIN batch b ON b.number = r.batch LEFT JOIN image i ON i.number = e.image "
        "WHERE e.number > ? AND e.kind = 'done' ORDER BY e.number LIMIT ?",
        [number, most],
    )
    return [(event, line_of(tuple(row))) for event, *row in rows]
