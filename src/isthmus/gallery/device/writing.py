"""Applies pages of a difference to a device's records, inside the transaction that moves the position."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from isthmus.core.digest import Digest
from isthmus.core.errors import Corrupt
from isthmus.gallery.device.vectors import touch
from isthmus.gallery.sync.item import Item, item_hash, key_hash
from isthmus.gallery.sync.mode import Mode
from isthmus.gallery.sync.ports import Page


class Writing:
    """Applies pages inside a transaction and keeps digest, count and position."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        row: sqlite3.Row,
        gallery_key: bytes,
        name: Callable[[bytes], str],
        body: Callable[[str, bytes, Item], bytes],
    ) -> None:
        self._connection, self._gallery, self._name, self._body = connection, row["name"], name, body
        self._key, self._mode = gallery_key, Mode(row["mode"])
        self._digest, self._count = Digest(row["digest"]), row["count"]
        self._change, self._cursor = row["change"], row["cursor"]
        self.written = self.removed = 0

    def page(self, page: Page) -> None:
        """Apply one page. Raises Corrupt where it contradicts the ones before."""
        items = {key_hash(self._key, item.key): item for item in page.items}
        if page.cursor:
            self._exactly(set(items), page.cursor)
        for place in page.removed:
            self.removed += self._take(place)
        for place, item in items.items():
            self._put(place, item)
        if page.upto >= 0:
            self._change = page.upto

    def end(self) -> None:
        """Write position, digest and count down."""
        self._connection.execute(
            "UPDATE device_gallery SET digest = ?, count = ?, change = ?, cursor = ? WHERE name = ?",
            (self._digest.lanes, self._count, self._change, self._cursor, self._gallery),
        )

    def _exactly(self, places: set[bytes], cursor: bytes) -> None:
        """Remove the other records between the last cursor and this one."""
        if not self._cursor or len(cursor) != 8 or cursor < self._cursor:
            raise Corrupt("the server sent a snapshot's pages out of order", "synchronise again")
        if any(not self._cursor <= place <= cursor for place in places):
            raise Corrupt("the server sent records outside of their page's range", "synchronise again")
        rows = self._connection.execute(
            "SELECT hash FROM device_record WHERE gallery = ? AND hash >= ? AND hash <= ?",
            (self._gallery, self._cursor, cursor),
        ).fetchall()
        for row in rows:
            if row["hash"] not in places and (row["hash"] != self._cursor or self._cursor == bytes(8)):
                self.removed += self._take(row["hash"])
        self._cursor = cursor

    def _put(self, place: bytes, item: Item) -> None:
        lanes = item_hash(self._key, self._mode, item)
        old = self._connection.execute(
            "SELECT lanes FROM device_record WHERE gallery = ? AND hash = ?", (self._gallery, place)
        ).fetchone()
        if old is not None and old["lanes"] == lanes:
            return
        if old is not None:
            self._take(place)
        self._connection.execute(
            "INSERT INTO device_record VALUES (?, ?, ?, ?)",
            (self._gallery, place, lanes, self._body(self._gallery, place, item)),
        )
        for content in item.contents:
            name = self._name(content.digest)
            self._connection.execute(
                "INSERT OR IGNORE INTO device_used VALUES (?, ?, ?)", (self._gallery, place, name)
            )
        touch(self._connection, self._gallery, place)
        self._digest = self._digest.plus(lanes)
        self._count += 1
        self.written += 1

    def _take(self, place: bytes) -> int:
        """Remove a record; 0 where it is not there."""
        at = (self._gallery, place)
        old = self._connection.execute(
            "DELETE FROM device_record WHERE gallery = ? AND hash = ? RETURNING lanes", at
        ).fetchone()
        if old is None:
            return 0
        names = self._connection.execute(
            "DELETE FROM device_used WHERE gallery = ? AND hash = ? RETURNING name", at
        ).fetchall()
        self._connection.execute("DELETE FROM device_vector WHERE gallery = ? AND hash = ?", at)
        touch(self._connection, self._gallery, place)
        doomed = [(row["name"],) for row in names]
        self._connection.executemany("INSERT OR IGNORE INTO device_doomed VALUES (?)", doomed)
        self._digest = self._digest.minus(old["lanes"])
        self._count -= 1
        return 1
