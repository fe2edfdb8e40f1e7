"""What people do with a batch: cancel, pause, resume, and try again what failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from isthmus.acquire.queue import moving
from isthmus.acquire.queue.accepting import leaders
from isthmus.acquire.queue.rows import micros
from isthmus.acquire.queue.work import Reads, Work
from isthmus.acquire.states import LIVE, State
from isthmus.core.errors import UnknownName


def range_of(reads: Reads, batch: str, lock: str = "") -> tuple[int, int]:
    """Return the first and the last number of a batch's requests. Raises UnknownName."""
    first = batch.partition("-")[0]
    if first.isascii() and first.isdigit() and len(first) < 19:
        rows = reads.rows(f"SELECT requests FROM batch WHERE number = ? AND name = ?{lock}", [int(first), batch])
        if rows:
            return int(first), int(first) + rows[0][0] - 1
    raise UnknownName(f"unknown batch {batch!r}", "list the batches to see which there are")


def _of(work: Work, batch: tuple[int, int], states: frozenset[State]) -> list[moving.Standing]:
    numbers = ", ".join(str(int(state)) for state in sorted(states))
    return moving.standing(work, f"number BETWEEN ? AND ? AND state IN ({numbers}) ORDER BY number", batch)


def cancel(work: Work, batch: str, now: datetime) -> int:
    """Cancel what has not ended."""
    requests = _of(work, range_of(work, batch, work.lock), LIVE)
    moving.end(work, requests, "cancel", micros(now))
    return len(requests)


def pause(work: Work, batch: str, now: datetime) -> int:
    """Hold what is queued or waiting, and what comes back."""
    whole = range_of(work, batch, work.lock)
    work.run("UPDATE batch SET paused = 1 WHERE number = ?", [whole[0]])
    requests = _of(work, whole, frozenset({State.QUEUED, State.WAITING}))
    moving.move(work, requests, "pause", micros(now), ", due = NULL")
    return len(requests)


def resume(work: Work, batch: str, now: datetime) -> int:
    """Queue what is paused, in the order in which it was."""
    whole = range_of(work, batch, work.lock)
    work.run("UPDATE batch SET paused = 0 WHERE number = ?", [whole[0]])
    requests = _of(work, whole, frozenset({State.PAUSED}))
    moving.queue(work, requests, "resume", micros(now))
    return len(requests)


def retry(work: Work, batch: str, requests: Sequence[int], now: datetime) -> int:
    """Queue what failed or expired. One that wants the same as a live one, or as another of these, follows it."""
    whole = range_of(work, batch, work.lock)
    again = _of(work, whole, frozenset({State.FAILED, State.EXPIRED}))
    if requests:
        wanted = set(requests)
        again = [request for request in again if request.number in wanted]
    leading = {
        key: known.leader
        for key, known in leaders(work, [r.dedup for r in again if r.dedup is not None]).items()
        if known.image is None
    }
    at = micros(now)
    afresh = f", attempts = 0, failure = NULL, kind = NULL, leader = NULL, deadline = {_deadline(at)}"
    moving.queue(work, again, "retry", at, afresh)
    behind: list[tuple[int, moving.Standing]] = []
    ahead: list[moving.Standing] = []
    for request in (replace(request, state=State.QUEUED) for request in again):
        leader = leading.setdefault(request.dedup, request.number) if request.dedup is not None else request.number
        if leader == request.number:
            ahead.append(request)
        else:
            behind.append((leader, request))
    moving.move(work, [request for _, request in behind], "follow", at)
    work.assign("leader", [(request.number, leader) for leader, request in behind])
    if ahead and moving.paused(work, ahead):
        moving.move(work, ahead, "pause", at)
    return len(again)


def _deadline(at: int) -> str:
    return f"CASE WHEN state = {int(State.EXPIRED)} OR deadline <= {at} THEN NULL ELSE deadline END"
