"""Which records of a gallery show one person, kept beside the gallery's matrix and like it after the store.

It is a cache: it says which epoch, stamp and way of telling people it stands at, and is filled anew where that is
not the store's. Only records that name a person are in it, by their key hash and a hash of the name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import bson

from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.people import Persons
from isthmus.gallery.room import batches
from isthmus.state.store import Store

_STEPS = (
    """CREATE TABLE people (one INTEGER PRIMARY KEY CHECK (one = 1), position TEXT NOT NULL);
    CREATE TABLE people_record (key BLOB PRIMARY KEY, person BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX people_record_person ON people_record (person)""",
)
FILE = "people.sqlite"


class People:
    """The people of one gallery. Belongs to the thread that opened it."""

    def __init__(self, folder: Path | None, gallery: str, held: DeviceStore, persons: Persons) -> None:
        """Open or create it in `folder`; None keeps it in memory alone, for stores that are encrypted."""
        self._gallery, self._held, self._persons = gallery, held, persons
        self._store = Store(Path(":memory:") if folder is None else folder / FILE)
        self._store.rows("PRAGMA secure_delete = ON")
        self._store.migrate("people", _STEPS)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def mates(self, keys: Collection[bytes]) -> Mapping[bytes, Collection[bytes]]:
        """Return by key hash all records of the same person; a record that names nobody is not among them."""
        whose: dict[bytes, bytes] = {}
        for batch in batches(keys):
            sql = f"SELECT key, person FROM people_record WHERE key IN ({','.join('?' * len(batch))})"
            whose.update((row["key"], row["person"]) for row in self._store.rows(sql, batch))
        of_one: dict[bytes, list[bytes]] = {}
        for batch in batches(set(whose.values())):
            sql = f"SELECT key, person FROM people_record WHERE person IN ({','.join('?' * len(batch))})"
            for row in self._store.rows(sql, batch):
                of_one.setdefault(row["person"], []).append(row["key"])
        return {key: of_one.get(person, []) for key, person in whose.items()}

    def follow(self) -> None:
        """Bring it up to date with the store."""
        epoch, newest = self._held.stamp(self._gallery)
        position = f"{epoch} {newest} {self._persons.text}"
        rows = self._store.rows("SELECT position FROM people")
        if rows and rows[0]["position"] == position:
            return
        stood = rows[0]["position"].split(" ") if rows else []
        touched = None
        if stood[::2] == position.split(" ")[::2]:
            touched = self._held.touched(self._gallery, int(stood[1]))
        with self._store.transaction() as connection:
            if touched is None:
                connection.execute("DELETE FROM people_record")
            else:
                connection.executemany("DELETE FROM people_record WHERE key = ?", [(key,) for key in touched])
            connection.executemany("REPLACE INTO people_record VALUES (?, ?)", self._named(touched))
            connection.execute("REPLACE INTO people VALUES (1, ?)", (position,))

    def _named(self, touched: list[bytes] | None) -> Iterator[tuple[bytes, bytes]]:
        if touched is None:
            there = self._held.items(self._gallery)
        else:
            looked = ((key, self._held.item(self._gallery, key)) for key in touched)
            there = ((key, item) for key, item in looked if item is not None)
        for key, item in there:
            name = self._persons.named({**bson.decode(self._held.attributes(item)), **bson.decode(item.key)})
            if name is not None:
                yield key, hashlib.blake2b(name.encode(errors="replace"), digest_size=16).digest()
