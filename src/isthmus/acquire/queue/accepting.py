"""Taking batches in."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from isthmus.acquire.ports import Accepted, Asking
from isthmus.acquire.queue import moving
from isthmus.acquire.queue.rows import encode, micros, tags_text
from isthmus.acquire.queue.work import Work, after
from isthmus.acquire.request import Wish
from isthmus.acquire.states import State
from isthmus.core.errors import InputError

_LIVE_LEADERS = "state IN (0, 1, 3, 4)"


def dedup_key(owner: str, dedup: str) -> str:
    """Return what joins requests of one owner: 32 hexadecimal digits."""
    return hashlib.blake2b(f"{owner}\x1f{dedup}".encode(), digest_size=16).hexdigest()


def accept(work: Work, asking: Asking, wishes: Sequence[Wish], now: datetime) -> Accepted:
    """Store a batch, as `Ledger.accept` says."""
    if not wishes:
        raise InputError("a batch has at least one request")
    keys = [dedup_key(asking.owner, wish.dedup) if wish.dedup is not None else None for wish in wishes]
    if asking.once or any(keys):
        work.alone(f"owner {asking.owner}")
    if asking.once and (before := _before(work, asking)):
        return before
    first = work.reserve(len(wishes))
    name = f"{first}-{secrets.token_hex(4)}"
    intake = _Intake(work, first, keys, micros(now))
    work.run(
        "INSERT INTO batch (number, name, owner, label, trace, once, body, made, requests, followers) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        [first, name, asking.owner, asking.label, asking.trace, asking.once, asking.body, intake.now, len(wishes)],
    )
    work.run("INSERT INTO standing (batch, live, images, ended) VALUES (?, 0, 0, ?)", [first, intake.now])
    work.store_requests(intake.rows(wishes))
    intake.finish()
    return Accepted(name, len(wishes), intake.followers)


def _before(work: Work, asking: Asking) -> Accepted | None:
    rows = work.rows(
        "SELECT name, body, requests, followers FROM batch WHERE owner = ? AND once = ? AND once <> ''",
        [asking.owner, asking.once],
    )
    if not rows:
        return None
    ((name, body, requests, followers),) = rows
    if body != asking.body:
        raise InputError(
            f"Idempotency-Key {asking.once!r} was used for something else", "use a new key for a new batch"
        )
    return Accepted(name, requests, followers, again=True)


class _Intake:
    """Turns wishes into rows, and keeps account of what they become."""

    def __init__(self, work: Work, first: int, keys: Sequence[str | None], now: int) -> None:
        self.now, self.followers = now, 0
        self._work, self._first, self._keys = work, first, keys
        self._turns: dict[tuple[str, int], int] = {}
        self._counts: Counter[tuple[str, State]] = Counter()
        self._done: list[tuple[moving.Standing, int]] = []
        self._leaders = leaders(work, [key for key in keys if key is not None])

    def rows(self, wishes: Sequence[Wish]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of `REQUEST_COLUMNS`."""
        first, now, turns, counts = self._first, self.now, self._turns, self._counts
        queued = int(State.QUEUED)
        for number, (wish, key) in enumerate(zip(wishes, self._keys, strict=True), first):
            environment, priority = wish.environment, wish.priority
            deadline = None if wish.deadline is None else micros(wish.deadline)
            tags = tags_text(wish.tags) if wish.tags else None
            leader = image = place = taken = None
            state, turn = queued, 0
            if key is not None and (known := self._leaders.get(key)):
                leader, image, place, taken = known
                state = self._joined(number, wish, image)
            else:
                if key is not None:
                    self._leaders[key] = (number, None, None, None)
                course = (environment, priority)
                turn = turns.get(course) or moving.reached(self._work, environment, priority) + 1
                turns[course] = turn + 1
                counts[environment, State.QUEUED] += 1
            yield (
                number, first, environment, priority, turn, state, deadline,
                key, leader, image, place, taken, tags, encode(wish), now,
            )  # fmt: skip

    def _joined(self, number: int, wish: Wish, image: int | None) -> State:
        if image is None:
            self.followers += 1
            state = after(State.QUEUED, "follow")
        else:
            state = after(State.QUEUED, "settle")
            request = moving.Standing(
                number, self._first, wish.environment, wish.priority, state, 0, 0, 0, None, None, None, None
            )
            self._done.append((request, image))
        self._counts[wish.environment, state] += 1
        return state

    def finish(self) -> None:
        """Store what belongs to the rows."""
        work, first = self._work, self._first
        for (environment, state), count in self._counts.items():
            work.moves.come(first, environment, state, count)
        moving.give_turns(work, [(first, *course, turn - 1) for course, turn in self._turns.items()])
        if self.followers:
            work.run("UPDATE batch SET followers = ? WHERE number = ?", [self.followers, first])
        if not self._done:
            return
        work.moves.images[first] += len(self._done)
        users = Counter(image for _, image in self._done)
        work.many(
            "UPDATE image SET users = users + ?, at = CASE WHEN at < ? THEN ? ELSE at END WHERE number = ?",
            [(count, self.now, self.now, image) for image, count in sorted(users.items())],
        )
        moving.tell(work, [(request, image, None) for request, image in self._done], "done", self.now)


_Known = tuple[int, int | None, str | None, int | None]


def leaders(work: Work, keys: Sequence[str]) -> dict[str, _Known]:
    """Return what requests with these keys may join: (leader, image or None, place, taken).

    An image that is there already comes before a request that is still to bring one.
    """
    if not keys:
        return {}
    found = work.rows(
        "SELECT dedup, number, leader, image, place, taken FROM request "
        f"WHERE dedup {work.among} AND ({_LIVE_LEADERS} OR (state = 5 AND image IS NOT NULL)) ORDER BY number"
        + work.lock,
        [work.listed(keys)],
    )
    known: dict[str, _Known] = {}
    for key, number, _, image, place, taken in found:
        if image is not None or key not in known or known[key][1] is None:
            known[key] = (number if image is None else image, image, place, taken)
    return known
