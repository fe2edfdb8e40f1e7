"""Taking batches in."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from isthmus.acquire.ports import Accepted, Asking
from isthmus.acquire.queue import moving
from isthmus.acquire.queue.rows import encode, micros, tags_text
from isthmus.acquire.queue.tables import PLAIN, WIDE
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
    keys = [dedup_key(asking.owner, wish.dedup) for wish in wishes if wish.dedup is not None]
    if asking.once or keys:
        work.alone(f"owner {asking.owner}")
    if asking.once and (before := _before(work, asking)):
        return before
    first = work.reserve(len(wishes))
    name = f"{first}-{secrets.token_hex(4)}"
    intake = _Intake(work, first, asking.owner, keys, micros(now))
    work.run(
        "INSERT INTO batch (number, name, owner, label, trace, once, body, made, requests, followers) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        [first, name, asking.owner, asking.label, asking.trace, asking.once, asking.body, intake.now, len(wishes)],
    )
    work.run("INSERT INTO standing (batch, live, images, ended) VALUES (?, 0, 0, ?)", [first, intake.now])
    if keys or any(wish.deadline or wish.tags for wish in wishes):
        work.store_requests(first, intake.now, WIDE, intake.wide(wishes))
    else:
        work.store_requests(first, intake.now, PLAIN, intake.plain(wishes))
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

    def __init__(self, work: Work, first: int, owner: str, keys: Sequence[str], now: int) -> None:
        self.now, self.followers = now, 0
        self._work, self._first, self._owner = work, first, owner
        self._turns: dict[tuple[str, int], int] = {}
        self._begun: dict[tuple[str, int], int] = {}
        self._counts: Counter[tuple[str, State]] = Counter()
        self._done: list[tuple[moving.Standing, _Known]] = []
        self._leaders = leaders(work, keys)

    def plain(self, wishes: Sequence[Wish]) -> Iterator[tuple[Any, ...]]:
        """Yield rows of `PLAIN`."""
        turns = self._turns
        for wish in wishes:
            environment, priority = course = wish.environment, wish.priority
            turn = turns[course] if course in turns else self._begin(course)
            turns[course] = turn + 1
            yield environment, priority, turn, encode(wish)

    def wide(self, wishes: Sequence[Wish]) -> Iterator[tuple[Any, ...]]:
        """Yield rows of `WIDE`."""
        for number, wish in enumerate(wishes, self._first):
            key = None if wish.dedup is None else dedup_key(self._owner, wish.dedup)
            known = None if key is None else self._leaders.get(key)
            if known is not None:
                turn, state, leader = 0, self._joined(number, wish, known), known.leader
            else:
                course = wish.environment, wish.priority
                turn = self._turns[course] if course in self._turns else self._begin(course)
                self._turns[course] = turn + 1
                state, leader = State.QUEUED, None
                if key is not None:
                    self._leaders[key] = _Known(number)
            deadline = None if wish.deadline is None else micros(wish.deadline)
            tags = tags_text(wish.tags) if wish.tags else None
            yield (
                wish.environment, wish.priority, turn, encode(wish), int(state), deadline, key, leader, tags,
            )  # fmt: skip

    def _begin(self, course: tuple[str, int]) -> int:
        turn = self._begun[course] = moving.reached(self._work, *course) + 1
        return turn

    def _joined(self, number: int, wish: Wish, known: _Known) -> State:
        if known.image is None:
            self.followers += 1
            state = after(State.QUEUED, "follow")
        else:
            state = after(State.QUEUED, "settle")
            request = moving.Standing(
                number, self._first, wish.environment, wish.priority, state, 0, 0, 0, None, None, None, None
            )
            self._done.append((request, known))
        self._counts[wish.environment, state] += 1
        return state

    def finish(self) -> None:
        """Store what belongs to the rows."""
        work, first = self._work, self._first
        for (environment, priority), begun in self._begun.items():
            self._counts[environment, State.QUEUED] += self._turns[environment, priority] - begun
        for (environment, state), count in self._counts.items():
            work.moves.come(first, environment, state, count)
        moving.give_turns(work, [(first, *course, turn - 1) for course, turn in self._turns.items()])
        if self.followers:
            work.run("UPDATE batch SET followers = ? WHERE number = ?", [self.followers, first])
        if not self._done:
            return
        work.moves.images[first] += len(self._done)
        work.many(
            "UPDATE request SET image = ?, place = ?, taken = ? WHERE number = ?",
            [(known.image, known.place, known.taken, request.number) for request, known in self._done],
        )
        ended = [(request, known.leader, None) for request, known in self._done]
        users = Counter(leader for _, leader, _ in ended)
        work.many(
            "UPDATE image SET users = users + ?, at = CASE WHEN at < ? THEN ? ELSE at END WHERE number = ?",
            [(count, self.now, self.now, image) for image, count in sorted(users.items())],
        )
        moving.tell(work, ended, "done", self.now)


class _Known(NamedTuple):
    """A request that others may join, and its image where it has one: `leader` is the image's number then."""

    leader: int
    image: int | None = None
    place: str | None = None
    taken: int | None = None


def leaders(work: Work, keys: Sequence[str]) -> dict[str, _Known]:
    """Return what requests with these keys may join.

    An image that is there already comes before a request that is still to bring one.
    """
    if not keys:
        return {}
    found = work.rows(
        "SELECT dedup, number, image, place, taken FROM request "
        f"WHERE dedup {work.among} AND ({_LIVE_LEADERS} OR (state = 5 AND image IS NOT NULL)) ORDER BY number"
        + work.lock,
        [work.listed(keys)],
    )
    known: dict[str, _Known] = {}
    for key, number, image, place, taken in found:
        if image is not None or key not in known or known[key].image is None:
            known[key] = _Known(number if image is None else image, image, place, taken)
    return known
