"""How requests move from state to state: the only statements that change `request.state` of a stored request.

Fairness is start-time fair queueing (Goyal, Vin, Cheng 1996) with requests of equal cost. An environment has a
virtual time for each priority: the turn of the last request that was leased. The k-th request of a new batch gets
the turn k after it, one that is queued again later the turn after its batch's last. Claims go by turns, so batches
take turns, however long they are. What an agent gives back keeps its turn, which has come already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from isthmus.acquire.failure import Failure
from isthmus.acquire.queue.rows import encode
from isthmus.acquire.queue.work import Work, after
from isthmus.acquire.states import State


class Standing(msgspec.Struct, frozen=True):
    """What the steps need to know of a request to move it."""

    number: int
    batch: int
    environment: str
    priority: int
    state: State
    fence: int
    attempts: int
    missed: int
    deadline: int | None
    agent: str | None
    dedup: str | None
    kind: str | None

    @property
    def course(self) -> tuple[str, int]:
        """Whom it takes turns with."""
        return self.environment, self.priority


_COLUMNS = ", ".join(Standing.__struct_fields__)
_STATES = tuple(State)


def standing(work: Work, where: str, values: Sequence[Any], *, skip: bool = False) -> list[Standing]:
    """Read and lock requests, by number."""
    sql = f"SELECT {_COLUMNS} FROM request WHERE {where}{work.skip if skip else work.lock}"
    return [Standing(*(*row[:4], _STATES[row[4]], *row[5:])) for row in work.rows(sql, values)]


def paused(work: Work, requests: Iterable[Standing]) -> frozenset[int]:
    """Return which of the requests' batches are paused."""
    batches = sorted({request.batch for request in requests})
    if not batches:
        return frozenset()
    sql = f"SELECT number FROM batch WHERE paused = 1 AND number {work.among}"
    found = work.rows(sql, [work.listed(batches)])
    return frozenset(number for (number,) in found)


def move(
    work: Work,
    requests: Sequence[Standing],
    event: str,
    now: int,
    extra: str = "",
    values: Sequence[Any] = (),
    own: Mapping[int, Sequence[Any]] | None = None,
) -> None:
    """Let one event happen to requests, whatever states they are in.

    `extra` sets further columns, to `values` for all of them or to each request's `own`, by its number.
    """
    targets: dict[State, list[int]] = {}
    moved: Counter[tuple[int, str, State]] = Counter()
    for request in requests:
        moved[request.batch, request.environment, request.state] += 1
        targets.setdefault(after(request.state, event), []).append(request.number)
        if request.state is State.FAILED and request.kind is not None:
            work.moves.kinds[request.batch, request.kind] -= 1
    for (batch, environment, state), count in moved.items():
        work.moves.move(batch, environment, state, event, count)
    for target, numbers in targets.items():
        if own is not None:  # a row is written once, and so are its indexes
            work.many(
                f"UPDATE request SET state = ?, changed = ?, agent = NULL{extra} WHERE number = ?",
                [(int(target), now, *own[number], number) for number in numbers],
            )
            continue
        work.run(
            f"UPDATE request SET state = ?, changed = ?, agent = NULL{extra} WHERE number {work.among}",
            [int(target), now, *values, work.listed(numbers)],
        )


def queue(work: Work, requests: Sequence[Standing], event: str, now: int, extra: str = "") -> None:
    """Queue requests behind what is left of their batches."""
    if not requests:
        return
    turns = _turns(work, requests)
    move(work, requests, event, now, f", due = NULL{extra}")
    work.assign("turn", list(turns.items()))


def _turns(work: Work, requests: Sequence[Standing]) -> dict[int, int]:
    turns: dict[int, int] = {}
    next_turns: dict[tuple[int, str, int], int] = {}
    for request in requests:
        line = (request.batch, *request.course)
        if line not in next_turns:
            last = work.rows("SELECT last FROM share WHERE batch = ? AND environment = ? AND priority = ?", line)
            next_turns[line] = max(reached(work, *request.course), last[0][0] if last else 0) + 1
        turns[request.number] = next_turns[line]
        next_turns[line] += 1
    give_turns(work, ((*line, turn - 1) for line, turn in next_turns.items()))
    return turns


def reached(work: Work, environment: str, priority: int) -> int:
    """Return the virtual time of a course."""
    rows = work.rows("SELECT turn FROM course WHERE environment = ? AND priority = ?", (environment, priority))
    return int(rows[0][0]) if rows else 0


def give_turns(work: Work, lines: Iterable[tuple[int, str, int, int]]) -> None:
    """Note the last turn that a batch has in a course."""
    work.many(
        "INSERT INTO share (batch, environment, priority, last) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (batch, environment, priority) DO UPDATE SET last = excluded.last "
        "WHERE share.last < excluded.last",
        sorted(lines),
    )


def requeue(work: Work, requests: Sequence[Standing], now: int, extra: str = "") -> None:
    """Put leased requests back: paused where their batches are, else queued where they were."""
    held = paused(work, requests)
    for event, those in (
        ("hold", [request for request in requests if request.batch in held]),
        ("release", [request for request in requests if request.batch not in held]),
    ):
        if those:
            move(work, those, event, now, f", due = NULL{extra}")


def end(work: Work, requests: Sequence[Standing], event: str, now: int) -> None:
    """Cancel or expire requests: with their events, and with those that followed them led by one of their own."""
    if not requests:
        return
    move(work, requests, event, now, ", due = NULL")
    kind = "cancelled" if event == "cancel" else "expired"
    tell(work, [(request, None, None) for request in requests], kind, now)
    _hand_on(work, requests, now)


def fail(work: Work, failed: Sequence[tuple[Standing, Failure]], now: int) -> None:
    """Fail requests and those that follow them, with their events."""
    if not failed:
        return
    by_number = {request.number: failure for request, failure in failed}
    followers = following(work, [request for request, _ in failed])
    whole = [(request, failure, encode(failure)) for request, failure in failed]
    whole += [(follower, by_number[leader], encode(by_number[leader])) for leader, follower in followers]
    move(work, [request for request, _, _ in whole], "fail", now, ", due = NULL")
    work.many(
        "UPDATE request SET failure = ?, kind = ?, missed = fence WHERE number = ?",
        [(raw, failure.kind.value, request.number) for request, failure, raw in whole],
    )
    for request, failure, _ in whole:
        work.moves.kinds[request.batch, failure.kind.value] += 1
    tell(work, [(request, None, raw) for request, _, raw in whole], "failed", now)


def following(work: Work, leaders: Iterable[Standing]) -> list[tuple[int, Standing]]:
    """Read and lock what follows requests: (leader, follower), by the follower's number."""
    numbers = [leader.number for leader in leaders if leader.dedup is not None]  # nothing follows any other
    if not numbers:
        return []
    rows = standing(
        work, f"leader {work.among} AND state = {int(State.FOLLOWING)} ORDER BY number", [work.listed(numbers)]
    )
    if not rows:
        return []
    sql = f"SELECT number, leader FROM request WHERE number {work.among}"
    led = dict(work.rows(sql, [work.listed(row.number for row in rows)]))
    return [(led[row.number], row) for row in rows]


def tell(work: Work, ended: Sequence[tuple[Standing, int | None, bytes | None]], kind: str, now: int) -> None:
    """Write the events of requests that ended: (request, image, failure)."""
    batches = work.listed(sorted({request.batch for request, _, _ in ended}))
    owners = dict(work.rows(f"SELECT number, owner FROM batch WHERE number {work.among}", [batches]))
    ((latest,),) = work.rows("UPDATE counter SET event = event + ? WHERE id = 1 RETURNING event", [len(ended)])
    first = latest - len(ended) + 1
    work.add(
        "event",
        ("number", "at", "kind", "batch", "owner", "request", "image", "failure"),
        [
            (number, now, kind, request.batch, owners[request.batch], request.number, image, failure)
            for number, (request, image, failure) in enumerate(ended, first)
        ],
    )


def _hand_on(work: Work, leaders: Sequence[Standing], now: int) -> None:
    heirs: dict[int, Standing] = {}
    behind: list[tuple[int, int]] = []
    for leader, follower in following(work, leaders):
        heir = heirs.setdefault(leader, follower)
        if heir is not follower:
            behind.append((follower.number, heir.number))
    if not heirs:
        return
    queue(work, list(heirs.values()), "lead", now, ", leader = NULL")
    work.assign("leader", behind)
    held = paused(work, heirs.values())
    stopped = [replace(heir, state=State.QUEUED) for heir in heirs.values() if heir.batch in held]
    if stopped:
        move(work, stopped, "pause", now)
