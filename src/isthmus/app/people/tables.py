"""The tables of people, keys, sessions and failed logins in a site's people file. Times are Unix seconds, UTC."""

from __future__ import annotations

from isthmus.core.ports import Clock

STEPS = (
    """CREATE TABLE person (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        password TEXT NOT NULL,
        made REAL NOT NULL,
        made_by TEXT NOT NULL,
        changed REAL NOT NULL,
        seen REAL
    );
    CREATE TABLE api_key (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        prefix TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        made REAL NOT NULL,
        made_by TEXT NOT NULL,
        expires REAL,
        used REAL,
        revoked REAL
    );
    CREATE UNIQUE INDEX api_key_of ON api_key (name) WHERE revoked IS NULL;
    CREATE TABLE session (
        digest TEXT PRIMARY KEY,
        name TEXT NOT NULL REFERENCES person (name) ON DELETE CASCADE,
        made REAL NOT NULL,
        seen REAL NOT NULL,
        address TEXT NOT NULL
    );
    CREATE INDEX session_of ON session (name, made);
    CREATE TABLE known_from (
        name TEXT NOT NULL REFERENCES person (name) ON DELETE CASCADE,
        address TEXT NOT NULL,
        last REAL NOT NULL,
        PRIMARY KEY (name, address)
    ) WITHOUT ROWID;
    CREATE TABLE tries (
        subject TEXT PRIMARY KEY,
        failures INTEGER NOT NULL,
        last REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX tries_last ON tries (last)
    """,
)


def seconds(clock: Clock) -> float:
    """Return the clock's time as Unix seconds."""
    return clock.now().timestamp()
