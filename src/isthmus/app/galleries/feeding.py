"""Takes foreign oplogs into set 1, or where no gate leads to it into set 2.

A file is taken once, a MongoDB server is followed until somebody interrupts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isthmus.app.galleries.inner import Inner
from isthmus.app.galleries.outer import Outer
from isthmus.core.progress import Progress, Report
from isthmus.gallery.feed import Fed
from isthmus.gallery.oplog.mongoshake import recorded
from isthmus.gallery.oplog.tail import MongoOplog, Oplog, follow
from isthmus.gallery.store import log
from isthmus.gallery.store.sqlite import SqliteSet

_CHUNK = 1 << 20


def feed_file(site: Inner | Outer, file: Path, report: Report) -> Fed:
    """Take the entries of a file: `oplog.bson` as mongodump writes it, or MongoShake's tunnel file.

    Raises Corrupt where it is neither (what came before the flaw is taken), InputError where set 2 follows a gate.
    """
    done = 0

    def chunks() -> Iterator[bytes]:
        nonlocal done
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                done += len(chunk)
                report(Progress("feed", done, file.stat().st_size, "bytes"))
                yield chunk

    feed = site.feed(f"file {file.resolve()}")
    try:
        return feed.take(recorded(chunks()))
    finally:
        settle(site)


def settle(site: Inner | Outer) -> None:
    """Finish what was fed to set 2: nobody reads on from there, so its entries go, and vectors are made."""
    if isinstance(site, Inner) or not isinstance(site.set, SqliteSet):
        return
    with site.set.changing() as change:
        if change.position is not None:
            log.forget(change, change.position.seq)
    while site.make_vectors():
        continue


def feed_server(
    site: Inner | Outer,
    uri: str,
    from_now: bool,
    report: Report,
    oplog: Oplog | None = None,
    rounds: int | None = None,
) -> Fed:
    """Follow a server's oplog; each pause of about a second ends a batch. `rounds` bounds it, for tests.

    Raises Disconnected (the same command goes on from the last entry taken), InputError where entries were lost.
    """
    oplog = oplog or MongoOplog.at(uri)
    feed, total = site.feed("mongodb"), Fed()
    start = feed.resume() or (oplog.newest() if from_now else None)
    while rounds is None or rounds > 0:
        total = total.plus(feed.take(follow(oplog, start, lambda: False)))
        settle(site)
        start = feed.resume() or start
        report(Progress("feed", total.entries, None, "entries"))
        rounds = None if rounds is None else rounds - 1
    return total
