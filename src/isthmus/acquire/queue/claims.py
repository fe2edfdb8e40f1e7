"""Leasing requests to agents, prolonging leases, and taking them back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from isthmus.acquire.ports import Held, Task
from isthmus.acquire.queue import moving
from isthmus.acquire.queue.rows import micros, moment_or_none, wish_of
from isthmus.acquire.queue.work import Work, after
from isthmus.acquire.states import State

_CLAIM = """
WITH chosen AS MATERIALIZED (
    SELECT r.number FROM request r
    WHERE r.state = 0 AND r.environment = ? AND (r.deadline IS NULL OR r.deadline > ?)
        AND EXISTS (SELECT 1 FROM batch b WHERE b.number = r.batch AND b.paused = 0)
    ORDER BY r.priority DESC, r.turn, r.number LIMIT ?{skip})
UPDATE request SET state = ?, fence = fence + 1, attempts = attempts + 1, agent = ?, due = ?, changed = ?
WHERE number IN (SELECT number FROM chosen)
RETURNING number, batch, priority, turn, fence, attempts, deadline, wish
"""


def claim(work: Work, environment: str, agent: str, most: int, lease_s: float, now: datetime) -> list[Task]:
    """Lease requests, as `Ledger.claim` says."""
    if most < 1:
        return []
    at = micros(now)
    leased = after(State.QUEUED, "claim")
    rows = work.rows(
        _CLAIM.format(skip=work.skip.replace("UPDATE", "UPDATE OF r")),
        [environment, at, most, int(leased), agent, _lease_end(now, lease_s), at],
    )
    if not rows:
        return []
    rows.sort(key=lambda row: (-row[2], row[3], row[0]))
    reached: dict[int, int] = {}
    for _, batch, priority, turn, *_ in rows:
        work.moves.move(batch, environment, State.QUEUED, "claim")
        reached[priority] = max(turn, reached.get(priority, 0))
    _reach(work, environment, reached)
    batches = work.listed(sorted({row[1] for row in rows}))
    traces = dict(work.rows(f"SELECT number, trace FROM batch WHERE number {work.among}", [batches]))
    tasks = []
    for number, batch, _, _, fence, attempts, deadline, raw in rows:
        wish = wish_of(raw)
        trace = traces[batch]
        tasks.append(Task(number, fence, attempts, wish.address, wish.record, trace, moment_or_none(deadline)))
    return tasks


def _reach(work: Work, environment: str, reached: dict[int, int]) -> None:
    work.many(
        "INSERT INTO course (environment, priority, turn) VALUES (?, ?, ?) ON CONFLICT (environment, priority) "
        "DO UPDATE SET turn = excluded.turn WHERE course.turn < excluded.turn",
        [(environment, priority, turn) for priority, turn in sorted(reached.items())],
    )


def _lease_end(now: datetime, lease_s: float) -> int:
    return micros(now + timedelta(seconds=lease_s))


def _mine(work: Work, agent: str, held: Sequence[Held]) -> dict[Held, moving.Standing]:
    where = f"number {work.among} AND state = {int(State.LEASED)} AND agent = ? ORDER BY number"
    rows = moving.standing(work, where, [work.listed({one.request for one in held}), agent])
    found = {Held(row.number, row.fence): row for row in rows}
    return {one: found[one] for one in held if one in found}


def beat(work: Work, agent: str, held: Sequence[Held], lease_s: float, now: datetime) -> list[Held]:
    """Prolong leases, as `Ledger.beat` says."""
    mine = _mine(work, agent, held)
    if mine:
        numbers = work.listed(one.request for one in mine)
        work.run(f"UPDATE request SET due = ? WHERE number {work.among}", [_lease_end(now, lease_s), numbers])
    return [one for one in held if one not in mine]


def release(work: Work, agent: str, held: Sequence[Held], now: datetime) -> int:
    """Take leases back, as `Ledger.release` says."""
    mine = _mine(work, agent, held)
    moving.requeue(work, list(mine.values()), micros(now), ", attempts = attempts - 1")
    return len(mine)
