"""How fast the bytes of rounds were packed and sent at the primary: rows beside those of the rounds.

What is told here decides nothing, so it is written apart from what a round is, and lost with no harm.
"""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.core.position import Position
from isthmus.state.store import Store

Pace = Mapping[str, tuple[int, float]]
"""Bytes and seconds by what was done with them."""

_STEPS = (
    """CREATE TABLE recovery_pace (
        stream TEXT NOT NULL,
        round TEXT NOT NULL,
        what TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (stream, round, what)
    ) WITHOUT ROWID""",
)


def rate_of(pace: Pace, what: str) -> float:
    """Return how fast something was done, in bytes a second; 0 where nobody knows."""
    size, seconds = pace.get(what, (0, 0.0))
    return size / seconds if seconds > 0 else 0.0


class Paces:
    """The paces of one stream's rounds. The tables of `rounds` are there before it."""

    def __init__(self, store: Store, stream: str) -> None:
        self._store, self._stream = store, stream
        store.migrate("recovery pace", _STEPS)

    def note(self, until: Position, what: str, seconds: float) -> None:
        """Add how long it took to do something with the part that ends at a position; a mark is no part."""
        with self._store.transaction() as connection:
            added = connection.execute(
                "INSERT INTO recovery_pace SELECT stream, round, ?, bytes, ? FROM recovery_part"
                " WHERE stream = ? AND epoch = ? AND seq = ? AND round <> ''"
                " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, seconds = seconds + excluded.seconds",
                (what, seconds, self._stream, until.epoch, until.seq),
            )
            if added.rowcount:
                connection.execute(
                    "DELETE FROM recovery_pace WHERE stream = ?1"
                    " AND round NOT IN (SELECT key FROM recovery_round WHERE stream = ?1)",
                    (self._stream,),
                )

    def of(self, key: str) -> Pace:
        """Return what is known of the round with a key."""
        rows = self._store.rows(
            "SELECT what, bytes, seconds FROM recovery_pace WHERE stream = ? AND round = ?", (self._stream, key)
        )
        return {row["what"]: (row["bytes"], row["seconds"]) for row in rows}
