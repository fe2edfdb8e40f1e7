"""What a warehouse root says of itself to everyone who opens it: its role, its epoch, and what a standby shows.

It lies at `<root>/.fence.json` and is replaced whole, by one rename: so readers of a standby go from one barrier
to the next with all tables at once, and a writer is let in or kept out at one moment. A root without it is
nobody's replica and takes every write. Reading it again costs one stat where the root is a local folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from isthmus.core.errors import Corrupt, InputError, Refused
from isthmus.state.files import replacing
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import as_uri, file_system, local_path

Role = Literal["independent", "primary", "yielding", "standby", "fenced"]
NAME = ".fence.json"
SUFFIX = ".lance"
"""How the folder of a table ends."""
FORMAT = 1
_SETTLED_NS = 1_000_000_000
"""A file that changed less than this ago may change again within one tick of the file system's clock."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a standby shows of a replicated table: the version, and the BLAKE3 of its manifest in hexadecimal."""

    version: int
    manifest: str


@dataclass(frozen=True, slots=True)
class Fence:
    """The state of a root. `barrier` is the key of the round that a standby shows; `tables` its tables by name.

    `hidden` names tables of which files are there already but which no barrier shows yet. `primary` names the site
    that the tables come from. `held` says why nobody writes now, empty where writers are let in.
    """

    role: Role = "independent"
    epoch: int = 1
    primary: str = ""
    held: str = ""
    barrier: str = ""
    tables: Mapping[str, Shown] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    def shown(self, name: str) -> Shown | None:
        """Return what a reader of a table gets; None where it is its latest version."""
        return self.tables.get(name) if self.role == "standby" else None

    def replica(self, name: str) -> bool:
        """Tell whether the files of a table are another site's, kept equal to those there."""
        return self.role == "standby" and (name in self.tables or name in self.hidden)

    def refusal(self, name: str) -> tuple[str, str] | None:
        """Say why a table is not to be written now, and what to do; None where it may be."""
        if self.replica(name):
            return (
                f"the table {name} is replicated from {self.primary or 'the primary'} and read-only here",
                "write there; where that site is lost, take over: isthmus recovery failover",
            )
        if self.role == "fenced":
            return (
                f"another site took over from this one, primary of epoch {self.epoch}: {name} is not written",
                "follow the new primary: isthmus recovery failback",
            )
        if self.held:
            return f"the table {name} is not written now: {self.held}", "try again when that has ended"
        return None

    def allow(self, name: str) -> None:
        """Raise Refused where a table is not to be written now."""
        refusal = self.refusal(name)
        if refusal is not None:
            raise Refused(*refusal)

    def to_json(self) -> dict[str, Any]:
        """Write the fence as plain JSON values."""
        return {
            "format": FORMAT,
            "role": self.role,
            "epoch": self.epoch,
            "primary": self.primary,
            "held": self.held,
            "barrier": self.barrier,
            "tables": {name: [one.version, one.manifest] for name, one in self.tables.items()},
            "hidden": list(self.hidden),
        }

    @classmethod
    def of_json(cls, text: bytes) -> Fence:
        """Read what `to_json` writes, as JSON text. Raises ValueError on anything else."""
        try:
            value = json.loads(text)
            if value["format"] != FORMAT or value["role"] not in get_args(Role):
                raise ValueError(f"format {value['format']!r} and role {value['role']!r} are not known here")
            return cls(
                value["role"],
                int(value["epoch"]),
                str(value["primary"]),
                str(value["held"]),
                str(value["barrier"]),
                {
                    str(name): Shown(int(version), str(digest))
                    for name, (version, digest) in value["tables"].items()
                },
                tuple(map(str, value["hidden"])),
            )
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise ValueError(f"no fence: {error!r}") from error


_Signature = tuple[int, int, int]
_known: dict[Path, tuple[_Signature, Fence]] = {}


def read(root_uri: str | Path, storage_options: Mapping[str, str] | None = None) -> Fence:
    """Read what a root says of itself; `Fence()` where it says nothing. Raises Corrupt where it cannot be read."""
    place = local_path(as_uri(root_uri))
    if place is not None:
        return _read_local(place / NAME)
    files, path = file_system(str(root_uri), storage_options)
    try:
        return _parsed(files.cat_file(f"{path}/{NAME}"), f"{root_uri}/{NAME}")
    except FileNotFoundError:
        return Fence()


def write(root_uri: str | Path, fence: Fence, storage_options: Mapping[str, str] | None = None) -> None:
    """Put a fence in the place of the one that is there: durably, and whole or not at all.

    A local file is written as a neighbour, synced and renamed, and its folder synced; an object store replaces an
    object in one step by itself.
    """
    text = json.dumps(fence.to_json(), ensure_ascii=False, indent=1).encode()
    place = local_path(as_uri(root_uri))
    if place is not None:
        with replacing(place / NAME) as file:
            file.write(text)
        return
    files, path = file_system(str(root_uri), storage_options)
    files.pipe_file(f"{path}/{NAME}", text)


def home(table_uri: str) -> tuple[str, str] | None:
    """Return the root that a table lies under and its full name; None for one that lies in no catalogue."""
    parts = table_uri.rstrip("/").removesuffix(SUFFIX).rsplit("/", 3)
    if len(parts) != 4 or not table_uri.rstrip("/").endswith(SUFFIX):
        return None
    try:
        return parts[0], str(TableName(*parts[1:]))
    except InputError:
        return None


def _read_local(path: Path) -> Fence:
    try:
        found = path.stat()
        signature = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = _known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        fence = _parsed(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return Fence()
    except IsADirectoryError as error:
        raise Corrupt(f"{path} is a folder, where a file says whose the tables are", "remove it") from error
    # a file this young may be replaced without a sign of it in time, size and inode: it is read again
    if abs(time.time_ns() - found.st_mtime_ns) > _SETTLED_NS:
        _known[path] = (signature, fence)
    return fence


def _parsed(text: bytes, where: str) -> Fence:
    try:
        return Fence.of_json(text)
    except ValueError as error:
        raise Corrupt(
            f"{where} cannot be read: {error}",
            "until it is whole nobody knows who writes these tables; restore it from a backup of the site",
        ) from error
