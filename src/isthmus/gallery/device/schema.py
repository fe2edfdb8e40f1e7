"""The tables of a device's store. Columns `key` and `body` are sealed where the store is; see device.sealing.

`hash` is a record's key hash, `lanes` its item hash. `device_used` says which record refers to which file;
`device_doomed` names files to be unlinked; a row in `device_unswept` means that a session did not end well.
"""

from __future__ import annotations

import sqlite3

import msgspec

from isthmus.gallery.sync.messages import Kind, Start

STEPS = (
    """CREATE TABLE device_seal (
        one INTEGER PRIMARY KEY CHECK (one = 1), proof BLOB NOT NULL, sealed INTEGER NOT NULL
    );
    CREATE TABLE device_gallery (
        name TEXT PRIMARY KEY, epoch BLOB NOT NULL, key BLOB NOT NULL, mode TEXT NOT NULL, model BLOB,
        change INTEGER NOT NULL, begun INTEGER NOT NULL, cursor BLOB NOT NULL,
        digest BLOB NOT NULL, count INTEGER NOT NULL, verified INTEGER NOT NULL, synced TEXT
    );
    CREATE TABLE device_record (
        gallery TEXT NOT NULL, hash BLOB NOT NULL, lanes BLOB NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (gallery, hash)
    ) WITHOUT ROWID;
    CREATE TABLE device_used (
        gallery TEXT NOT NULL, hash BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (gallery, hash, name)
    ) WITHOUT ROWID;
    CREATE INDEX device_used_name ON device_used (name);
    CREATE TABLE device_doomed (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE device_unswept (one INTEGER PRIMARY KEY CHECK (one = 1))""",
)


def kind_of(model: bytes | None) -> Kind | None:
    """Read the model that a gallery's row holds."""
    return None if model is None else msgspec.msgpack.decode(model, type=Kind)


def same_kind(row: sqlite3.Row, start: Start) -> bool:
    """Tell whether a gallery's row is of the mode and model that the server means."""
    kind = kind_of(row["model"])
    return (row["mode"], kind.name if kind else "") == (start.mode.value, start.model.name if start.model else "")
