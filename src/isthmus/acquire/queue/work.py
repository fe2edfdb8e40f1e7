"""One transaction of the ledger as its steps see it: statements, locks, and a tally of what moved.

The steps are written once. SQL has `?` for parameters, and what the stores say differently is an attribute here.
Locks are taken in one order everywhere, so that transactions of several servers rarely meet head-on: the row of a
batch that is steered, requests by number, those that follow them, the counter of events, the tallies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from isthmus.acquire.queue.tables import COUNTED
from isthmus.acquire.states import LIVE, REQUESTS, State
from isthmus.core.errors import IllegalTransition

Values = Sequence[Any]

_BY_WORD = {state.word: state for state in State}
_AFTER = {(_BY_WORD[row.source], row.event): _BY_WORD[row.target] for row in REQUESTS.rows}


class Reads(Protocol):
    """Statements that only read, all of them from one state of the store."""

    among: str
    """Follows a column: is it one of a list, which `listed` makes a parameter of."""
    position: str
    """The function that finds a text in a text."""
    nested: str
    """Joins so that the left table leads, where the store lets itself be told."""

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        ...

    def listed(self, values: Iterable[int] | Iterable[str]) -> Any:
        """Make a list a parameter for `among`."""
        ...


class Work(Reads, Protocol):
    """A transaction that writes."""

    lock: str
    """Ends a SELECT whose rows nobody else may change until the end."""
    skip: str
    """As `lock`, and leaves out rows that others hold."""
    moves: Moves

    def run(self, sql: str, values: Values = ()) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def many(self, sql: str, rows: Iterable[Values]) -> None:
        """Run a statement once for each row."""
        ...

    def assign(self, column: str, pairs: Sequence[tuple[int, int]]) -> None:
        """Set a column of requests: (number, value)."""
        ...

    def add(self, table: str, columns: tuple[str, ...], rows: Sequence[Values]) -> None:
        """Add rows, however many."""
        ...

    def reserve(self, count: int) -> int:
        """Return the first of so many new request numbers, one after the other."""
        ...

    def alone(self, name: str) -> None:
        """Wait until no other transaction is alone under the same name, to the end of this one."""
        ...

    def store_requests(self, first: int, at: int, columns: tuple[str, ...], rows: Iterable[Values]) -> None:
        """Store the requests of the new batch `first`, `columns` of each: `tables.PLAIN` or `WIDE`."""
        ...


def after(state: State, event: str) -> State:
    """Return the state that an event leads to. Raises IllegalTransition where the machine has no such row."""
    target = _AFTER.get((state, event))
    if target is None:
        raise IllegalTransition(f"acquisition: {event!r} cannot happen in state {state.word!r}")
    return target


class Moves:
    """What moved in a transaction. At the end it becomes counters, in one order: nobody waits in a circle."""

    def __init__(self) -> None:
        self.states: Counter[tuple[int, str, State]] = Counter()
        self.kinds: Counter[tuple[int, str]] = Counter()
        self.images: Counter[int] = Counter()

    def come(self, batch: int, environment: str, state: State, count: int = 1) -> None:
        """Count requests into a state; out of it where `count` is below zero."""
        self.states[batch, environment, state] += count

    def move(self, batch: int, environment: str, state: State, event: str, count: int = 1) -> State:
        """Count requests from a state to the next, which is returned."""
        target = after(state, event)
        self.states[batch, environment, state] -= count
        self.states[batch, environment, target] += count
        return target

    def write(self, work: Work, at: int) -> None:
        """Bring the counters up to date, and note which batches ended or live again."""
        by_row: dict[tuple[int, str], list[int]] = {}
        depths: dict[str, list[int]] = {}
        live: Counter[int] = Counter()
        for (batch, environment, state), count in self.states.items():
            if not count:
                continue
            by_row.setdefault((batch, environment), [0] * len(COUNTED))[state] += count
            if state in LIVE:
                depths.setdefault(environment, [0] * len(LIVE))[state] += count
                live[batch] += count
        work.many(_TALLY, [(*key, *by_row[key]) for key in sorted(by_row)])
        if self.kinds:
            work.many(_KINDS, [(*key, count) for key, count in sorted(self.kinds.items()) if count])
        touched = sorted({*live, *self.images})
        work.many(
            _STANDING,
            [
                (live[batch], self.images[batch], live[batch], live[batch], at, batch)
                for batch in touched
                if live[batch] or self.images[batch]
            ],
        )
        work.many(_DEPTH, [(name, *depths[name]) for name in sorted(depths)])


def _adding(table: str, keys: Sequence[str], counters: Sequence[str]) -> str:
    columns = [*keys, *counters]
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET "
        + ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in counters)
    )


_TALLY = _adding("tally", ("batch", "environment"), COUNTED)
_DEPTH = _adding("depth", ("environment",), COUNTED[: len(LIVE)])
_KINDS = _adding("missed_by_kind", ("batch", "kind"), ("failed",))
_STANDING = (
    "UPDATE standing SET live = live + ?, images = images + ?, "
    "ended = CASE WHEN ? = 0 THEN ended WHEN live + ? = 0 THEN ? END WHERE batch = ?"
)
