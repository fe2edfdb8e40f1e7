"""A device's store: its galleries' records in SQLite, their contents as files, all sealed where a key is given.

A page of records is committed with the gallery's position and digest in one transaction, after its contents are
in place. What nothing refers to any more is named in the same transaction and unlinked after it; a crash in
between is made up for when the store is opened next.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from isthmus.core.digest import Digest
from isthmus.core.errors import Busy, Corrupt, InputError, Refused
from isthmus.core.ports import Clock
from isthmus.gallery.device.acts import Acts
from isthmus.gallery.device.content import Contents, PartFile
from isthmus.gallery.device.installed import Installed
from isthmus.gallery.device.records import Records
from isthmus.gallery.device.schema import STEPS, kind_of, same_kind
from isthmus.gallery.device.sealing import Plain, Sealed, Sealing
from isthmus.gallery.device.vectors import forget_gallery, forget_old
from isthmus.gallery.device.writing import Writing
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.item import Ref, item_hash, key_hash
from isthmus.gallery.sync.messages import Claim, Start
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.sync.ports import Change, Page
from isthmus.gallery.sync.reconcile import U64
from isthmus.state.store import Store

_PROOF = b"isthmus device store"
_STRETCH = 20_000
_BREATH = 500
_CACHE_KB = 65_536  # records lie by hash: writing many at random needs more than SQLite's usual 2 MB


class DeviceStore(Records):
    """The store in a folder: `device.db` and `content/`. `key`: 32 bytes; None stores everything as it is.

    Raises Refused where the key does not open the store or one is needed. `step` is told where the work stands.
    """

    def __init__(
        self, folder: Path, clock: Clock, key: bytes | None = None, step: Callable[[str], None] = lambda name: None
    ) -> None:
        self.folder, self._clock, self._step = folder, clock, step
        sealing: Sealing = Sealed(key) if key is not None else Plain()
        store = Store(folder / "device.db")
        store.rows("PRAGMA secure_delete = ON")
        store.rows(f"PRAGMA cache_size = -{_CACHE_KB}")
        store.migrate("device", STEPS)
        _unlock(store, sealing, folder)
        super().__init__(store, sealing, Contents(folder / "content", sealing, step))
        self.queue = Acts(store, clock, sealing)
        self.installed = Installed(store, sealing, self.contents.name, self._reap, step)
        self._leftovers = False
        self._reap()

    @property
    def sealed(self) -> bool:
        """Whether the store is encrypted."""
        return isinstance(self._sealing, Sealed)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    # --- the session's side (sync.ports.Holding) ----------------------------------------------------------------

    def claims(self) -> list[Claim]:
        """Tell of every gallery what is held."""
        claims = []
        for row in self._store.rows("SELECT * FROM device_gallery ORDER BY name"):
            kind = kind_of(row["model"])
            claims.append(
                Claim(
                    row["name"],
                    row["epoch"],
                    Mode(row["mode"]),
                    kind.name if kind else "",
                    row["change"],
                    row["count"],
                    row["digest"],
                    row["begun"],
                    row["cursor"],
                )
            )
        return claims

    def drop(self, gallery: str) -> int:
        """Delete a gallery with all its files; returns how many records it had."""
        with self._store.transaction() as connection:
            doomed = "INSERT OR IGNORE INTO device_doomed SELECT name FROM device_used WHERE gallery = ?"
            connection.execute(doomed, (gallery,))
            connection.execute("DELETE FROM device_used WHERE gallery = ?", (gallery,))
            count = connection.execute("DELETE FROM device_record WHERE gallery = ?", (gallery,)).rowcount
            connection.execute("DELETE FROM device_gallery WHERE name = ?", (gallery,))
            forget_gallery(connection, gallery)
            self._step("drop before commit")
        self._reap()
        return count

    async def begin(self, start: Start, tier: Tier) -> None:
        """Prepare a gallery for a tier: its key, mode and model become the server's."""
        snapshot = tier is Tier.SNAPSHOT
        with self._store.transaction() as connection:
            row = connection.execute("SELECT * FROM device_gallery WHERE name = ?", (start.gallery,)).fetchone()
            digest, count = Digest(), 0
            if row is not None and same_kind(row, start):
                digest, count = Digest(row["digest"]), row["count"]
                if self._key(row) != start.key:
                    digest = await self._rekeyed(connection, start)
            elif row is not None:  # contents stay until the end: what is still used is not fetched again
                connection.execute("DELETE FROM device_used WHERE gallery = ?", (start.gallery,))
                connection.execute("DELETE FROM device_record WHERE gallery = ?", (start.gallery,))
                forget_gallery(connection, start.gallery)
                self._leftovers = True
            change = row["change"] if row is not None and tier is Tier.CHANGES else -1
            model = None if start.model is None else msgspec.msgpack.encode(start.model)
            connection.execute(
                "REPLACE INTO device_gallery VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
                (
                    start.gallery,
                    start.epoch,
                    self._sealing.seal(start.key, start.gallery.encode()),
                    start.mode.value,
                    model,
                    change,
                    start.begun if snapshot else -1,
                    (start.cursor or bytes(8)) if snapshot else b"",
                    digest.lanes,
                    count,
                    None if row is None else row["synced"],
                ),
            )

    async def _rekeyed(self, connection: sqlite3.Connection, start: Start) -> Digest:
        """Hash all records of a gallery anew, under the key of its new epoch."""
        digest, aside = Digest(), f"\n{start.gallery}"  # no gallery has such a name
        for number, (_, item) in enumerate(self.items(start.gallery)):
            if number % _BREATH == 0:
                await asyncio.sleep(0)  # the channel has to answer its other end meanwhile
            place, lanes = key_hash(start.key, item.key), item_hash(start.key, start.mode, item)
            digest = digest.plus(lanes)
            body = self._body(start.gallery, place, item)
            connection.execute("INSERT INTO device_record VALUES (?, ?, ?, ?)", (aside, place, lanes, body))
            used = [(aside, place, self.contents.name(part.digest)) for part in item.contents]
            connection.executemany("INSERT OR IGNORE INTO device_used VALUES (?, ?, ?)", used)
        for table in ("device_record", "device_used"):
            connection.execute(f"DELETE FROM {table} WHERE gallery = ?", (start.gallery,))
            connection.execute(f"UPDATE {table} SET gallery = ? WHERE gallery = ?", (start.gallery, aside))
        forget_gallery(connection, start.gallery)
        return digest

    def standing(self, gallery: str) -> tuple[Digest, int]:
        """Return the digest and the number of records."""
        row = self._row(gallery)
        return Digest(row["digest"]), row["count"]

    def hashes(self, gallery: str) -> tuple[U64, U64]:
        """Return the records' key hashes, ascending, and their first lanes."""
        sql = "SELECT hash, substr(lanes, 1, 8) AS lane FROM device_record WHERE gallery = ? AND hash > ?"
        hashes, lanes, after = bytearray(), bytearray(), b""
        while rows := self._store.rows(f"{sql} ORDER BY hash LIMIT {_STRETCH}", (gallery, after)):
            hashes += b"".join(row["hash"] for row in rows)
            lanes += b"".join(row["lane"] for row in rows)
            after = rows[-1]["hash"]
        return np.frombuffer(hashes, ">u8").astype(np.uint64), np.frombuffer(lanes, "<u8").astype(np.uint64)

    def missing(self, contents: Iterable[Ref]) -> list[Ref]:
        """List which contents are not there, each once."""
        return [
            content
            for content in {content.digest: content for content in contents}.values()
            if not self.contents.has(content.digest)
        ]

    def part(self, content: Ref) -> PartFile:
        """Open a content for receiving, at the place where it was interrupted."""
        return self.contents.part(content)

    def commit(self, gallery: str, pages: Sequence[Page]) -> Change:
        """Apply pages with their position in one transaction; their contents are there."""
        self.contents.settle()
        self._step("before commit")
        with self._store.transaction() as connection:
            row = connection.execute("SELECT * FROM device_gallery WHERE name = ?", (gallery,)).fetchone()
            writing = Writing(connection, row, self._key(row), self.contents.name, self._body)
            for page in pages:
                writing.page(page)
            writing.end()
            forget_old(connection)
            self._step("in the transaction")
        self._step("after commit")
        self._reap()
        return Change(writing.written, writing.removed)

    def settle(self, start: Start, change: int, *, verified: bool) -> None:
        """Note that the gallery stands at a change; `verified`: with the server's digest."""
        model = None if start.model is None else msgspec.msgpack.encode(start.model)
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE device_gallery SET change = ?, begun = -1, cursor = x'', verified = ?, synced = ?,"
                " model = ? WHERE name = ?",
                (change, verified, self._clock.now().isoformat(), model, start.gallery),
            )
        self._step("settled")

    def acts(self, most: int) -> messages.Acts | None:
        """Return the oldest acts that were not told yet; None where there are none."""
        acts = self.queue.oldest(most)
        return messages.Acts(self.queue.name, acts) if acts else None

    def told(self, upto: int) -> None:
        """Forget acts up to a number."""
        self.queue.forget(upto)

    def opened(self) -> None:
        """Note that a session begins: were it to die, the next one that ends well looks for leftovers."""
        self._leftovers = bool(self._store.rows("SELECT one FROM device_unswept"))
        with self._store.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO device_unswept VALUES (1)")

    def closed(self, *, leftovers: bool) -> None:
        """Note that a session ended well; what nothing refers to any more is removed.

        `leftovers`: contents may be there that were not committed.
        """
        if leftovers or self._leftovers:
            self.sweep()
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM device_unswept")
        with contextlib.suppress(Busy):  # a reader is in the way: the next session does it
            self._store.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def sweep(self) -> int:
        """Remove all files that no record refers to; returns how many contents that were."""
        used = {row["name"] for row in self._store.rows("SELECT DISTINCT name FROM device_used")}
        gone = {name for name in self.contents.names() if name not in used}
        for name in gone:
            self.contents.remove(name)
        self.contents.sync()
        return len(gone)

    def lose_damaged(self, gallery: str) -> int:
        """Remove records whose contents are missing or altered, so that they are fetched anew; returns how many.

        The gallery's position is forgotten: the next session finds the difference, and sends only that.
        """
        places = []
        for place, item in self.items(gallery):
            for content in item.contents:
                try:
                    self.contents.read(content)
                except Corrupt:
                    self.contents.remove(self.contents.name(content.digest))
                    places.append(place)
        with self._store.transaction() as connection:
            row = connection.execute("SELECT * FROM device_gallery WHERE name = ?", (gallery,)).fetchone()
            writing = Writing(connection, row, self._key(row), self.contents.name, self._body)
            writing.page(Page((), places, -1, b""))
            writing.end()
            forgotten = (
                "UPDATE device_gallery SET change = -1, begun = -1, cursor = x'', verified = 0 WHERE name = ?"
            )
            connection.execute(forgotten, (gallery,))
        self._reap()
        return writing.removed

    # --- inside -------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Unlink what was doomed, unless something refers to it again."""
        doomed = [row["name"] for row in self._store.rows("SELECT name FROM device_doomed")]
        if not doomed:
            return
        self._step("before unlink")
        for name in doomed:
            if not self._store.rows("SELECT 1 FROM device_used WHERE name = ? LIMIT 1", (name,)):
                self.contents.remove(name)
        self.contents.sync()
        self._step("after unlink")
        with self._store.transaction() as connection:
            connection.executemany("DELETE FROM device_doomed WHERE name = ?", [(name,) for name in doomed])


def _unlock(store: Store, sealing: Sealing, folder: Path) -> None:
    """Prove that this sealing is the one that the store was made with; close the store where it is not."""
    sealed = isinstance(sealing, Sealed)
    rows = store.rows("SELECT proof, sealed FROM device_seal")
    if not rows:
        with store.transaction() as connection:
            proof = sealing.seal(_PROOF, b"proof")
            connection.execute("INSERT OR IGNORE INTO device_seal VALUES (1, ?, ?)", (proof, sealed))
        rows = store.rows("SELECT proof, sealed FROM device_seal")
    if bool(rows[0]["sealed"]) != sealed:
        store.close()
        if sealed:
            raise InputError(f"the device store in {folder} is not encrypted", "open it without a key")
        raise Refused(f"the device store in {folder} is encrypted", "give its key by file or environment")
    try:
        sealing.open(rows[0]["proof"], b"proof")
    except Corrupt as error:
        store.close()
        raise Refused(
            f"the key does not open the device store in {folder}", "give the key it was made with"
        ) from error
