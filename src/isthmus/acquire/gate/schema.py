"""The tables of a gate's state file: streams that are sent, with their changes, and streams that are followed."""

from __future__ import annotations

from isthmus.state.store import Store

_STEPS = (
    """CREATE TABLE gate_stream (
        stream TEXT PRIMARY KEY, key BLOB NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
        digest BLOB NOT NULL, floor INTEGER NOT NULL, floor_digest BLOB NOT NULL, bytes INTEGER NOT NULL);
    CREATE TABLE gate_body (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
    CREATE TABLE gate_change (
        stream TEXT NOT NULL, seq INTEGER NOT NULL, name TEXT NOT NULL, body INTEGER, size INTEGER NOT NULL,
        digest BLOB NOT NULL, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
    CREATE TABLE gate_live (
        stream TEXT NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, body INTEGER NOT NULL, size INTEGER NOT NULL,
        PRIMARY KEY (stream, name)) WITHOUT ROWID;
    CREATE INDEX gate_live_body ON gate_live (body);
    CREATE TABLE gate_stretch (
        stream TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (stream, since)
        ) WITHOUT ROWID;
    CREATE TABLE gate_follow (
        stream TEXT PRIMARY KEY, key BLOB NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
        digest BLOB NOT NULL);
    CREATE TABLE gate_seen (
        stream TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (stream, epoch, seq)) WITHOUT ROWID;
    CREATE TABLE gate_got (
        id INTEGER PRIMARY KEY, stream TEXT NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, proof BLOB NOT NULL,
        size INTEGER NOT NULL, state INTEGER NOT NULL, content BLOB NOT NULL, UNIQUE (stream, name));
    CREATE INDEX gate_got_state ON gate_got (stream, state, id);
    CREATE TABLE gate_open (
        stream TEXT NOT NULL, name TEXT NOT NULL, request INTEGER NOT NULL, fence INTEGER NOT NULL,
        since REAL NOT NULL, PRIMARY KEY (stream, name)) WITHOUT ROWID;
    CREATE TABLE gate_callback (stream TEXT PRIMARY KEY, callback TEXT NOT NULL)""",
)


def migrate(store: Store) -> None:
    """Make the tables, or those that are missing."""
    store.migrate("acquire gate", _STEPS)
