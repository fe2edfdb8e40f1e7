"""How long images and batches are kept, and the API keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from isthmus.acquire.ports import Key, Line
from isthmus.acquire.queue.rows import LINE, line_of, micros, moment_or_none
from isthmus.acquire.queue.work import Reads, Work
from isthmus.core.errors import InputError, UnknownName

_OF_IMAGE = "(number = ? OR leader = ?) AND image = ?"


def removable(reads: Reads, before: datetime | None, beyond_bytes: int | None, most: int) -> list[Line]:
    """Return the oldest requests with images that need not be kept."""
    chosen: list[int] = []
    by_age = -1 if before is None else micros(before)
    ((excess,),) = reads.rows("SELECT bytes FROM counter WHERE id = 1")
    excess = excess - beyond_bytes if beyond_bytes is not None else 0
    left: dict[str, int] = {}
    for number, digest, size, users, at in reads.rows(
        "SELECT number, digest, size, users, at FROM image WHERE users > 0 ORDER BY at, number LIMIT ?", [most]
    ):
        if len(chosen) >= most or (at >= by_age and excess <= 0):
            break
        chosen += [
            request
            for (request,) in reads.rows(
                f"SELECT number FROM request WHERE {_OF_IMAGE} ORDER BY number", [number, number, number]
            )
        ]
        if digest not in left:
            ((left[digest],),) = reads.rows(
                "SELECT CAST(sum(users) AS BIGINT) FROM image WHERE users > 0 AND digest = ?", [digest]
            )
        left[digest] -= users
        excess -= size if not left[digest] else 0
    rows = reads.rows(
        f"SELECT {LINE} FROM request r JOIN batch b ON b.number = r.batch JOIN image i ON i.number = r.image "
        f"WHERE r.number {reads.among}",
        [reads.listed(chosen[:most])],
    )
    place = {number: at for at, number in enumerate(chosen)}
    return sorted((line_of(row) for row in rows), key=lambda line: place[line.request])


def removed(work: Work, requests: Sequence[int], now: datetime) -> list[str]:
    """Let requests have no image any more; return the contents that nobody has."""
    rows = work.rows(
        f"SELECT number, batch, image FROM request WHERE image IS NOT NULL AND number {work.among} "
        f"ORDER BY number{work.lock}",
        [work.listed(set(requests))],
    )
    if not rows:
        return []
    work.rows(f"SELECT bytes FROM counter WHERE id = 1{work.lock}")
    users = Counter(image for _, _, image in rows)
    work.run(
        f"UPDATE request SET image = NULL, changed = ? WHERE number {work.among}",
        [micros(now), work.listed(number for number, _, _ in rows)],
    )
    work.many(
        "UPDATE image SET users = users - ? WHERE number = ?",
        [(count, image) for image, count in sorted(users.items())],
    )
    for _, batch, _ in rows:
        work.moves.images[batch] -= 1
    touched = work.listed(sorted(users))
    gone = work.rows(
        "SELECT digest, max(size) FROM image "
        f"WHERE digest IN (SELECT digest FROM image WHERE number {work.among}) "
        "GROUP BY digest HAVING sum(users) = 0 ORDER BY digest",
        [touched],
    )
    if gone:
        work.run("UPDATE counter SET bytes = bytes - ? WHERE id = 1", [sum(size for _, size in gone)])
    return [digest for digest, _ in gone]


def purge(work: Work, before: datetime, most: int) -> int:
    """Forget batches that ended and have no images left; at least one, however large."""
    forgotten = 0
    candidates = work.rows(
        "SELECT batch FROM standing WHERE ended IS NOT NULL AND ended < ? AND images = 0 "
        "ORDER BY ended, batch LIMIT ?",
        [micros(before), max(1, most)],
    )
    for (number,) in candidates:
        rows = work.rows(
            "SELECT b.requests FROM batch b JOIN standing s ON s.batch = b.number WHERE b.number = ? "
            f"AND s.ended IS NOT NULL AND s.images = 0{work.skip}",
            [number],
        )
        if not rows:
            continue
        if forgotten and forgotten + rows[0][0] > most:
            break
        forgotten += rows[0][0]
        _forget(work, number, number + rows[0][0] - 1)
        if forgotten >= most:
            break
    return forgotten


def _forget(work: Work, first: int, last: int) -> None:
    whole = [first, last]
    shared = [
        leader
        for (leader,) in work.rows(
            "SELECT DISTINCT leader FROM request WHERE leader IS NOT NULL AND number BETWEEN ? AND ?", whole
        )
        if not first <= leader <= last
    ]
    work.run("DELETE FROM event WHERE batch = ?", [first])
    work.run("DELETE FROM request WHERE number BETWEEN ? AND ?", whole)
    nobodys = (
        "users = 0 AND NOT EXISTS (SELECT 1 FROM request r WHERE r.number = image.number) "
        "AND NOT EXISTS (SELECT 1 FROM request r WHERE r.leader = image.number)"
    )
    work.run(f"DELETE FROM image WHERE number BETWEEN ? AND ? AND {nobodys}", whole)
    work.run(f"DELETE FROM image WHERE number {work.among} AND {nobodys}", [work.listed(shared)])
    for table in ("tally", "missed_by_kind", "share", "standing"):
        work.run(f"DELETE FROM {table} WHERE batch = ?", [first])
    work.run("DELETE FROM batch WHERE number = ?", [first])


def put_key(work: Work, key: Key) -> None:
    """Store a key. Raises InputError where the name is taken."""
    stored = work.run(
        "INSERT INTO apikey (name, role, digest, environment, made, revoked) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO NOTHING",
        [
            key.name, key.role, key.digest, key.environment,
            None if key.made is None else micros(key.made),
            None if key.revoked is None else micros(key.revoked),
        ],
    )  # fmt: skip
    if not stored:
        raise InputError(f"there is a key {key.name!r} already", "choose another name")


def keys(reads: Reads) -> list[Key]:
    """Return all keys by name."""
    rows = reads.rows("SELECT name, role, digest, environment, made, revoked FROM apikey ORDER BY name")
    return [
        Key(name, role, digest, environment, moment_or_none(made), moment_or_none(revoked))
        for name, role, digest, environment, made, revoked in rows
    ]


def revoke_key(work: Work, name: str, now: datetime) -> None:
    """Revoke a key. Raises UnknownName."""
    done = work.run("UPDATE apikey SET revoked = coalesce(revoked, ?) WHERE name = ?", [micros(now), name])
    if not done:
        raise UnknownName.among("key", name, [key.name for key in keys(work)])
