"""The tables of the embedded gallery store.

A `stream_set` is a set of galleries that follows or makes one stream; a `gallery` is one namespace of it and stays
as a row when it is dropped, so that its changes go on counting; a `record` is a live document without its image;
a `removal` remembers that a key is gone; `image` are the images that files hold, or that were refused; `vector` is
what a model made of an image (NULL: it found nothing); `unlink` are images whose files are still to be removed.
`entry` and `entry_image` are the stream's own changes at the site that makes them, `stretch` how they were cut.
"""

from __future__ import annotations

STEPS = (
    """
    CREATE TABLE stream_set (
        id INTEGER PRIMARY KEY,
        stream TEXT NOT NULL UNIQUE,
        key BLOB,
        epoch INTEGER,
        seq INTEGER,
        digest BLOB NOT NULL,
        floor INTEGER NOT NULL DEFAULT 0,
        floor_digest BLOB
    );
    CREATE TABLE stream_seen (
        stream_set INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (stream_set, epoch, seq)
    ) WITHOUT ROWID;
    CREATE TABLE gallery (
        id INTEGER PRIMARY KEY,
        stream_set INTEGER NOT NULL,
        ns TEXT NOT NULL,
        live INTEGER NOT NULL,
        ui BLOB NOT NULL,
        change INTEGER NOT NULL DEFAULT 0,
        floor INTEGER NOT NULL DEFAULT 0,
        records INTEGER NOT NULL DEFAULT 0,
        image_bytes INTEGER NOT NULL DEFAULT 0,
        refused INTEGER NOT NULL DEFAULT 0,
        vectors INTEGER NOT NULL DEFAULT 0,
        UNIQUE (stream_set, ns)
    );
    CREATE TABLE record (
        id INTEGER PRIMARY KEY,
        gallery INTEGER NOT NULL,
        key BLOB NOT NULL,
        body BLOB NOT NULL,
        place INTEGER NOT NULL,
        image BLOB,
        size INTEGER NOT NULL,
        refused TEXT,
        hash BLOB NOT NULL,
        changed INTEGER NOT NULL,
        vector_of TEXT
    );
    CREATE UNIQUE INDEX record_key ON record (gallery, key);
    CREATE INDEX record_changed ON record (gallery, changed);
    CREATE INDEX record_image ON record (image) WHERE image IS NOT NULL;
    CREATE TABLE removal (
        gallery INTEGER NOT NULL,
        key BLOB NOT NULL,
        changed INTEGER NOT NULL,
        PRIMARY KEY (gallery, key)
    ) WITHOUT ROWID;
    CREATE INDEX removal_changed ON removal (gallery, changed);
    CREATE TABLE image (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        refused TEXT
    );
    CREATE TABLE vector (
        number INTEGER PRIMARY KEY,
        image BLOB NOT NULL,
        model TEXT NOT NULL,
        vector BLOB,
        UNIQUE (image, model)
    );
    CREATE TABLE unlink (digest BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE waiting (
        number INTEGER PRIMARY KEY,
        stream_set INTEGER NOT NULL,
        transaction_id TEXT NOT NULL,
        entry BLOB NOT NULL
    );
    CREATE INDEX waiting_of ON waiting (stream_set, transaction_id);
    CREATE TABLE quarantine (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        stream_set INTEGER NOT NULL,
        at TEXT NOT NULL,
        ns TEXT NOT NULL,
        reason TEXT NOT NULL,
        entry BLOB NOT NULL
    );
    CREATE TABLE entry (
        stream_set INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        at REAL NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        body BLOB NOT NULL,
        cuts BLOB NOT NULL,
        PRIMARY KEY (stream_set, seq)
    );
    CREATE TABLE entry_image (
        image BLOB NOT NULL,
        stream_set INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (image, stream_set, seq)
    ) WITHOUT ROWID;
    CREATE INDEX entry_image_seq ON entry_image (stream_set, seq);
    CREATE TABLE stretch (
        stream_set INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (stream_set, since)
    ) WITHOUT ROWID;
    CREATE TABLE resume (
        stream_set INTEGER NOT NULL,
        source TEXT NOT NULL,
        time INTEGER NOT NULL,
        inc INTEGER NOT NULL,
        PRIMARY KEY (stream_set, source)
    ) WITHOUT ROWID
    """,
)
