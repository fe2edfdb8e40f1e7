"""What was done on the device, kept until the server has it in its audit log. The queue is bounded.

When it is full the oldest acts are dropped; the numbers of those that follow show how many. The queue has a random
name, so that a device whose store was made anew is not taken for one that repeats itself.
"""

from __future__ import annotations

import secrets

import msgspec

from isthmus.core.ports import Clock
from isthmus.gallery.device.sealing import Sealing
from isthmus.gallery.sync.messages import Act
from isthmus.state.store import Store

MOST = 10_000
_LONGEST = 900
_STEPS = (
    "CREATE TABLE device_act (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);"
    "CREATE TABLE device_queue (one INTEGER PRIMARY KEY CHECK (one = 1), name BLOB NOT NULL)",
)


class Acts:
    """The queue in the device's store, sealed as the rest is."""

    def __init__(self, store: Store, clock: Clock, sealing: Sealing, most: int = MOST) -> None:
        self._store, self._clock, self._sealing, self._most = store, clock, sealing, most
        store.migrate("device_act", _STEPS)

    def note(self, act: str, gallery: str, subject: str, detail: str) -> None:
        """Write an act down."""
        told = (self._clock.now().isoformat(), act, gallery, subject[:_LONGEST], detail[:_LONGEST])
        with self._store.transaction() as connection:
            body = self._sealing.seal(msgspec.msgpack.encode(told), b"act")
            connection.execute("INSERT INTO device_act (body) VALUES (?)", (body,))
            connection.execute(
                "DELETE FROM device_act WHERE number <= (SELECT max(number) FROM device_act) - ?", (self._most,)
            )

    @property
    def name(self) -> bytes:
        """The queue's random name, 8 bytes."""
        with self._store.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO device_queue VALUES (1, ?)", (secrets.token_bytes(8),))
            name: bytes = connection.execute("SELECT name FROM device_queue").fetchone()["name"]
        return name

    def oldest(self, most: int) -> list[Act]:
        """Return the oldest acts."""
        rows = self._store.rows("SELECT number, body FROM device_act ORDER BY number LIMIT ?", (most,))
        return [
            Act(row["number"], *msgspec.msgpack.decode(self._sealing.open(row["body"], b"act"), type=_FIELDS))
            for row in rows
        ]

    def forget(self, upto: int) -> None:
        """Drop the acts up to a number."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM device_act WHERE number <= ?", (upto,))


_FIELDS = tuple[str, str, str, str, str]
