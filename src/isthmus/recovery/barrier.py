"""A barrier: the published tables at one moment, with every file that they are made of.

The content that a stream of recovery carries is one barrier; a round leads from one to the next. Both sides
compute the same digest over the barrier that they hold, so equal positions prove equal tables.

A file is named by the identity of its table, not by the table's name: a renamed table keeps its files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from isthmus.core.digest import Digest, record_hash
from isthmus.recovery.objects import Object
from isthmus.warehouse.name import TableName

_KEY = re.compile(r"\d{8}_\d{6}")
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_PATH = re.compile(r"(_versions|_deletions|_transactions|_indices|data)(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}){1,3}")
_STAMP = "%Y%m%d_%H%M%S"
DIGEST_BYTES = 32


def key_of(moment: datetime) -> str:
    """Write the key of a round that began at a moment: `YYYYMMDD_HHMMSS`, in UTC."""
    return moment.astimezone(UTC).strftime(_STAMP)


def moment_of(key: str) -> datetime:
    """Read the second that a key names. Raises ValueError for what is no key."""
    return datetime.strptime(key, _STAMP).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class HeldFile:
    """One file of a table: its path inside the table's folder, size in bytes, BLAKE3."""

    path: str
    size: int
    digest: bytes

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"{self.path!r} is no path of a table's file")
        if self.size < 0 or len(self.digest) != DIGEST_BYTES:
            raise ValueError(f"{self.path} has a size or digest that no file has")


@dataclass(frozen=True, slots=True)
class TableAt:
    """One published table at a barrier.

    `manifest` is the path of the version's manifest, one of the table's files. `distribution` is `hash(KEY)`,
    `roundrobin` or `replicated`; `grants` are pairs of user and right.
    """

    name: str
    identity: str
    version: int
    manifest: str
    rows: int
    distribution: str = "roundrobin"
    grants: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        TableName.parse(self.name)
        if not _IDENTITY.fullmatch(self.identity) or self.version < 1 or self.rows < 0:
            raise ValueError(f"{self.name} has an identity, version or count that no table has")


Files = Mapping[str, Mapping[str, HeldFile]]
"""The files of each table: by identity, then by path."""

Named = Mapping[str, tuple[Object, ...]]
"""Publications: what each names, by its own name."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """The published tables at one moment. `key` names the round that took it, `at` is the moment, in UTC."""

    key: str
    at: datetime
    tables: Mapping[str, TableAt] = field(default_factory=dict)
    """By identity."""
    files: Files = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key) or self.at.tzinfo is None:
            raise ValueError(f"{self.key!r} at {self.at} names no round")
        if self.tables.keys() != self.files.keys():
            raise ValueError("a barrier has files for exactly its tables")
        for identity, table in self.tables.items():
            if table.identity != identity or table.manifest not in self.files[identity]:
                raise ValueError(f"{table.name} stands under another identity, or lacks its manifest")
        names = [table.name for table in self.tables.values()]
        if len(set(names)) != len(names):
            raise ValueError("two tables of a barrier have one name")

    def digest(self, key: bytes) -> Digest:
        """Sum over all tables and files: equal barriers, and only these, have equal digests under a key."""
        found = Digest()
        for identity, table in self.tables.items():
            found = found.plus(record_hash(key, b"table", json.dumps(_table(table), sort_keys=True).encode()))
            for file in self.files[identity].values():
                found = found.plus(_file_hash(key, identity, file))
        return found

    def contents(self) -> dict[bytes, int]:
        """Return the size of every content that is needed, by BLAKE3."""
        return {file.digest: file.size for files in self.files.values() for file in files.values()}


@dataclass(frozen=True, slots=True)
class Change:
    """What leads from one barrier to the next: all its tables, the files that came and those that went.

    `prior` is the key of the barrier that it leads from, empty where it leads from nothing (a full round).
    `event` is empty or says what the round is for beside the tables: `switchover` hands the primary's role over.
    `publications` are those of the primary, which a site that takes over goes on with; None where a sender of an
    earlier version does not tell them.
    """

    key: str
    prior: str
    at: datetime
    tables: tuple[TableAt, ...]
    added: Mapping[str, tuple[HeldFile, ...]]
    removed: Mapping[str, tuple[str, ...]]
    event: str = ""
    publications: Named | None = None

    @classmethod
    def between(
        cls, old: Barrier | None, new: Barrier, event: str = "", publications: Named | None = None
    ) -> Change:
        """Find what leads from `old` to `new`; from None, everything is added."""
        before: Files = old.files if old else {}
        added, removed = {}, {}
        for identity, files in new.files.items():
            known = before.get(identity, {})
            came = tuple(sorted(file for path, file in files.items() if known.get(path) != file))
            went = tuple(sorted(path for path in known if path not in files))
            added.update({identity: came} if came else {})
            removed.update({identity: went} if went else {})
        tables = tuple(sorted(new.tables.values(), key=lambda table: table.name))
        return cls(new.key, old.key if old else "", new.at, tables, added, removed, event, publications)

    def applied(self, old: Barrier | None) -> Barrier:
        """Return the barrier that this leads to. Raises ValueError where it does not lead on from `old`."""
        if self.prior and (old is None or old.key != self.prior):
            raise ValueError(
                f"round {self.key} leads on from {self.prior}, not from {old.key if old else 'nothing'}"
            )
        before: Files = old.files if old and self.prior else {}
        files: dict[str, dict[str, HeldFile]] = {}
        for table in self.tables:
            gone = set(self.removed.get(table.identity, ()))
            kept = {path: file for path, file in before.get(table.identity, {}).items() if path not in gone}
            files[table.identity] = kept | {file.path: file for file in self.added.get(table.identity, ())}
        return Barrier(self.key, self.at, {table.identity: table for table in self.tables}, files)

    def to_json(self) -> dict[str, Any]:
        """Write the change as plain JSON values."""
        told = {} if self.publications is None else {"publications": texts_of(self.publications)}
        return {
            "key": self.key,
            "prior": self.prior,
            "at": self.at.astimezone(UTC).isoformat(),
            "event": self.event,
            "tables": [_table(table) for table in self.tables],
            "added": {
                identity: [[file.path, file.size, file.digest.hex()] for file in files]
                for identity, files in self.added.items()
            },
            "removed": {identity: list(paths) for identity, paths in self.removed.items()},
            **told,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Change:
        """Read what `to_json` writes. Raises ValueError on anything else, InputError for what names no object."""
        try:
            told = value.get("publications")
            return cls(
                str(value["key"]),
                str(value["prior"]),
                datetime.fromisoformat(value["at"]),
                tuple(
                    TableAt(**{**table, "grants": tuple((str(a), str(b)) for a, b in table["grants"])})
                    for table in value["tables"]
                ),
                {
                    str(identity): tuple(HeldFile(str(p), int(s), bytes.fromhex(d)) for p, s, d in files)
                    for identity, files in value["added"].items()
                },
                {str(identity): tuple(map(str, paths)) for identity, paths in value["removed"].items()},
                str(value["event"]),
                None if told is None else named_of(told),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no change of a barrier: {error!r}") from error


def texts_of(publications: Named) -> dict[str, list[str]]:
    """Write publications as plain JSON values."""
    return {name: [str(item) for item in objects] for name, objects in publications.items()}


def named_of(texts: Mapping[str, Sequence[str]]) -> Named:
    """Read what `texts_of` writes. Raises InputError for what names no object."""
    return {str(name): tuple(map(Object.parse, objects)) for name, objects in texts.items()}


def _table(table: TableAt) -> dict[str, Any]:
    return {
        "name": table.name,
        "identity": table.identity,
        "version": table.version,
        "manifest": table.manifest,
        "rows": table.rows,
        "distribution": table.distribution,
        "grants": [list(grant) for grant in table.grants],
    }


def _file_hash(key: bytes, identity: str, file: HeldFile) -> bytes:
    return record_hash(
        key, b"file", identity.encode(), file.path.encode(), file.size.to_bytes(8, "little"), file.digest
    )
