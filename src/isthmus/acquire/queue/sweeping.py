"""What time brings: next tries, leases that run out, deadlines."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.queue import moving
from isthmus.acquire.queue.rows import micros, moment
from isthmus.acquire.queue.tables import BY_DEADLINE
from isthmus.acquire.queue.work import Reads, Work
from isthmus.acquire.states import State

MOST_AT_ONCE = 5_000
"""So many of each kind are done in one transaction, so that others get in between."""


def sweep(work: Work, now: datetime, most_attempts: int) -> Counter[str]:
    """Do what is due, up to `MOST_AT_ONCE` of each kind."""
    at, done = micros(now), Counter[str]()
    where = f"deadline <= ? AND {BY_DEADLINE} ORDER BY number LIMIT {MOST_AT_ONCE}"
    expired = moving.standing(work, where, [at], skip=True)
    moving.end(work, expired, "expire", at)
    done["expired"] += len(expired)
    _leases(work, at, most_attempts, done)
    where = f"due <= ? AND due IS NOT NULL AND state = {int(State.WAITING)} ORDER BY number LIMIT {MOST_AT_ONCE}"
    due = moving.standing(work, where, [at], skip=True)
    held = moving.paused(work, due)
    moving.queue(work, [request for request in due if request.batch not in held], "due", at)
    stopped = [request for request in due if request.batch in held]
    if stopped:
        moving.move(work, stopped, "pause", at, ", due = NULL")
    done["due"] += len(due)
    return done


def _leases(work: Work, at: int, most_attempts: int, done: Counter[str]) -> None:
    where = f"due <= ? AND due IS NOT NULL AND state = {int(State.LEASED)} ORDER BY number LIMIT {MOST_AT_ONCE}"
    expired, failed, released = [], [], []
    for request in moving.standing(work, where, [at], skip=True):
        if request.deadline is not None and request.deadline <= at:
            expired.append(request)
        elif request.attempts >= most_attempts:
            reason = f"agent {request.agent} and those before it took it {request.attempts} times and went silent"
            failed.append((request, Failure(Kind.LOST, reason)))
        else:
            released.append(request)
    moving.end(work, expired, "expire", at)
    moving.fail(work, failed, at)
    moving.requeue(work, released, at)
    done.update(expired=len(expired), failed=len(failed), lost=len(released))


def next_due(reads: Reads) -> datetime | None:
    """Return when there is something to sweep next."""
    found = reads.rows("SELECT due FROM request WHERE due IS NOT NULL ORDER BY due LIMIT 1")
    found += reads.rows(f"SELECT deadline FROM request WHERE {BY_DEADLINE} ORDER BY deadline LIMIT 1")
    return moment(min(at for (at,) in found)) if found else None
