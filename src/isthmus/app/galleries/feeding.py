"""Takes foreign oplogs into set 1: a file once, a MongoDB server until somebody interrupts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from isthmus.app.galleries.inner import Inner
from isthmus.core.errors import InputError
from isthmus.core.progress import Progress, Report
from isthmus.gallery.feed import Fed
from isthmus.gallery.oplog.mongoshake import recorded
from isthmus.gallery.oplog.tail import MongoOplog, Oplog, follow

_CHUNK = 1 << 20


def feed_file(site: Inner, file: Path, report: Report) -> Fed:
    """Take the entries of a file: `oplog.bson` as mongodump writes it, or MongoShake's tunnel file."""
    done = 0

    def chunks() -> Iterator[bytes]:
        nonlocal done
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                done += len(chunk)
                report(Progress("feed", done, file.stat().st_size, "bytes"))
                yield chunk

    return site.feed(f"file {file.resolve()}").take(recorded(chunks()))


def server_uri(variable: str | None, file: Path | None) -> str:
    """Read a server's URI from an environment variable or a file: it holds a password. Raises InputError."""
    if (variable is None) == (file is None):
        raise InputError(
            "name one source: a file, --mongodb-env or --mongodb-file", "see: isthmus gallery feed --help"
        )
    text = file.read_text().strip() if file else os.environ.get(variable or "", "")
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise InputError(
            f"{file or variable} holds no URI of a MongoDB server", "write mongodb://… there, and nothing else"
        )
    return text


def feed_server(
    site: Inner, uri: str, from_now: bool, report: Report, oplog: Oplog | None = None, rounds: int | None = None
) -> Fed:
    """Follow a server's oplog; each pause of about a second ends a batch. `rounds` bounds it, for tests.

    Raises Disconnected (the same command goes on from the last entry taken), InputError where entries were lost.
    """
    oplog = oplog or MongoOplog.at(uri)
    feed, total = site.feed("mongodb"), Fed()
    start = feed.resume() or (oplog.newest() if from_now else None)
    while rounds is None or rounds > 0:
        total = total.plus(feed.take(follow(oplog, start, lambda: False)))
        start = feed.resume() or start
        report(Progress("feed", total.entries, None, "entries"))
        rounds = None if rounds is None else rounds - 1
    return total
