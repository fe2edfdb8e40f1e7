"""Table-driven state machines: the rows are the behaviour, and the diagrams are drawn from the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.core.errors import IllegalTransition, suggestion


@dataclass(frozen=True, slots=True)
class Row:
    """In state `source`, `event` leads to state `target`; `why` tells a reader when that happens."""

    source: str
    event: str
    target: str
    why: str


class Machine:
    """A deterministic state machine made of rows.

    Raises ValueError when built from rows that contradict each other or that nothing reaches.
    """

    def __init__(self, name: str, initial: str, rows: Iterable[Row]) -> None:
        self.name = name
        self.initial = initial
        self.rows = tuple(rows)
        self._table: dict[tuple[str, str], str] = {}
        for row in self.rows:
            if self._table.setdefault((row.source, row.event), row.target) != row.target:
                raise ValueError(f"{name}: {row.event!r} in {row.source!r} leads to two states")
        self.states = frozenset({initial, *(row.source for row in self.rows), *(row.target for row in self.rows)})
        self.terminal = self.states - {row.source for row in self.rows}
        unreached = self.states - self._reachable()
        if unreached:
            raise ValueError(f"{name}: nothing leads to {sorted(unreached)}")

    def next(self, state: str, event: str) -> str:
        """Return the state that `event` leads to. Raises IllegalTransition where no row says so."""
        target = self._table.get((state, event))
        if target is None:
            known = self.events(state)
            hint = suggestion(event, known) if known else f"{state!r} is final"
            raise IllegalTransition(f"{self.name}: {event!r} cannot happen in state {state!r}", hint)
        return target

    def events(self, state: str) -> tuple[str, ...]:
        """List the events that `state` knows, in the order of the rows."""
        return tuple(row.event for row in self.rows if row.source == state)

    def diagram(self) -> str:
        """Draw the rows as a Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        lines += [f"    {row.source} --> {row.target}: {row.event}" for row in self.rows]
        lines += [f"    {state} --> [*]" for state in sorted(self.terminal)]
        return "\n".join(lines) + "\n"

    def _reachable(self) -> set[str]:
        seen, waiting = {self.initial}, [self.initial]
        while waiting:
            state = waiting.pop()
            for row in self.rows:
                if row.source == state and row.target not in seen:
                    seen.add(row.target)
                    waiting.append(row.target)
        return seen
