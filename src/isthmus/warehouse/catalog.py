"""The catalogue: which tables lie under a root, by `database.schema.table`.

Making, dropping and renaming a table are done under one lock of the root, and ask its fence inside it.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lance

from isthmus.core.errors import Busy, Corrupt, InputError, Refused, UnknownName
from isthmus.state.files import sync_folder
from isthmus.state.lock import PATIENCE_S, held, patiently
from isthmus.warehouse import declared, fence
from isthmus.warehouse.declared import Compression
from isthmus.warehouse.fence import SUFFIX, Fence
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import as_uri, file_system, local_path
from isthmus.warehouse.schema import Schema
from isthmus.warehouse.table import ROWS_PER_FRAGMENT, Table, locked

STORAGE_VERSION = "2.2"
_LOCK = ".catalog.lock"
_OPENINGS = 100


class Catalog:
    """The tables under one root, each a Lance dataset at `<root>/<database>/<schema>/<table>.lance`."""

    def __init__(self, root_uri: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        """Speak of the root; nothing is read or made yet. A bare path becomes a `file://` URI."""
        self.root = as_uri(root_uri)
        self.storage_options = dict(storage_options or {})

    def uri(self, name: TableName) -> str:
        """Return the URI of a table, whether it is there or not."""
        return f"{self.root}/{name.database}/{name.schema}/{name.table}{SUFFIX}"

    def fence(self) -> Fence:
        """Return what the root says of itself now. Raises Corrupt where that cannot be read."""
        return fence.read(self.root, self.storage_options)

    def create(
        self,
        name: TableName,
        schema: Schema,
        *,
        compression: Compression = "zstd",
        rows_per_fragment: int = ROWS_PER_FRAGMENT,
    ) -> Table:
        """Make a table, or return the one that is there where its schema is equal.

        Raises InputError, naming the difference, where a table of another schema is there, and Refused where the
        fence lets nobody make it.
        """
        if not self._exists(name):
            patiently(partial(self._make, name, declared.to_arrow(schema, compression)))
        elif str(name) in self.fence().hidden:
            raise Refused(f"the table {name} is being restored here", "choose another name, or wait for the round")
        table = self.open(name, rows_per_fragment)
        differs = declared.difference(table.schema, schema)
        if differs:
            raise InputError(f"table {name} is already there: {differs}", "drop it or choose another name")
        return table

    def open(self, name: TableName, rows_per_fragment: int = ROWS_PER_FRAGMENT) -> Table:
        """Open a table: a replica at the version that the standby shows, any other at its latest.

        Raises UnknownName with the nearest that is there, Corrupt where a replica lacks what is shown.
        """
        if not self._exists(name) or str(name) in self.fence().hidden:
            raise UnknownName.among("table", str(name), (str(known) for known in self.names()))
        return Table(self.uri(name), self.storage_options, rows_per_fragment=rows_per_fragment)

    def together(self, *names: TableName) -> tuple[Table, ...]:
        """Open the tables that a query spans: at a standby all of them as one barrier has them.

        Elsewhere each is at its latest version, as `open` has it. Raises what `open` does, and Busy where the
        standby goes from barrier to barrier faster than the tables are opened.
        """
        for _ in range(_OPENINGS):
            before = self.fence()
            try:
                tables = tuple(map(self.open, names))
            except (UnknownName, Corrupt):
                if _barrier(self.fence()) == _barrier(before):
                    raise
                continue
            if _barrier(self.fence()) == _barrier(before):
                return tables
        raise Busy("the standby went to another barrier each time", "try again")

    def names(self) -> list[TableName]:
        """List the tables, sorted; those that no barrier shows yet are left out."""
        files, root = self._files()
        hidden = set(self.fence().hidden)
        found = []
        for path in files.glob(f"{root}/*/*/*{SUFFIX}"):
            database, schema, table = str(path).rstrip("/").rsplit("/", 3)[1:]
            try:
                name = TableName(database, schema, table.removesuffix(SUFFIX))
            except InputError:
                continue  # a folder that no catalogue made
            if str(name) not in hidden:
                found.append(name)
        return sorted(found)

    def drop(self, name: TableName) -> None:
        """Remove a table with all its versions, at one moment. Raises UnknownName, Busy, Refused."""
        with self._changing(name):
            table = self.open(name)
            place = local_path(table.uri)
            with table.writing():
                if place is None:
                    files, root = self._files()
                    files.rm(f"{root}/{name.database}/{name.schema}/{name.table}{SUFFIX}", recursive=True)
                    return
                place.rename(place.with_name(f".{name.table}.{secrets.token_hex(8)}.dropped"))
                sync_folder(place.parent)
            for rest in place.parent.glob(f".{name.table}.*.dropped"):  # a kill may have left earlier ones
                shutil.rmtree(rest)

    def rename(self, name: TableName, to: TableName) -> Table:
        """Move a table to another name, at one moment; its identity, versions and files stay.

        Raises UnknownName, Busy, Refused, InputError where there is a table of the new name or where the root is
        an object store.
        """
        source, target = local_path(self.uri(name)), local_path(self.uri(to))
        if source is None or target is None:
            raise InputError(
                f"tables under {self.root} cannot be renamed: an object store moves no folder",
                f"make {to} and put the rows in",
            )
        with self._changing(name, to):
            table = self.open(name)
            if self._exists(to):
                raise InputError(f"table {to} is already there", "drop it or choose another name")
            with table.writing(), locked(self.uri(to)):
                if target.exists():
                    shutil.rmtree(target)  # a creation that was cut short
                for folder in (target.parents[2], target.parents[1]):
                    sync_folder(folder)  # the way to the new place is durable before the table goes there
                source.rename(target)
                sync_folder(target.parent)
                sync_folder(source.parent)
        return self.open(to)

    def drain(self, for_s: float = PATIENCE_S) -> None:
        """Wait until every write has ended that began before the fence was last changed. Raises Busy.

        Who keeps the writers out by the fence and then calls this knows that nothing moves any more. On an object
        store it waits for nobody.
        """
        if local_path(self.root) is None:
            return
        with contextlib.ExitStack() as once:
            patiently(lambda: once.enter_context(self._changing()), for_s=for_s)
        for name in self.names():
            with contextlib.ExitStack() as once:
                patiently(partial(_enter, once, self.uri(name)), for_s=for_s)

    def _make(self, name: TableName, arrow: Any) -> None:
        with self._changing(name):
            if self._exists(name):
                return
            try:
                lance.write_dataset(
                    arrow.empty_table(),
                    self.uri(name),
                    schema=arrow,
                    mode="create",
                    data_storage_version=STORAGE_VERSION,
                    enable_stable_row_ids=True,
                    storage_options=self.storage_options or None,
                )
            except OSError:
                if not self._exists(name):
                    raise

    @contextlib.contextmanager
    def _changing(self, *names: TableName) -> Iterator[None]:
        """Be the one that makes, drops or renames tables, where the fence allows it. Raises Busy, Refused."""
        place = local_path(self.root)
        lock = contextlib.nullcontext() if place is None else held(place / _LOCK, "a change of the catalogue")
        with lock:
            now = self.fence()
            for name in names:
                now.allow(str(name))
            yield

    def _exists(self, name: TableName) -> bool:
        files, root = self._files()
        files.invalidate_cache()
        manifests = f"{root}/{name.database}/{name.schema}/{name.table}{SUFFIX}/_versions/*.manifest"
        return bool(files.glob(manifests))  # a folder without one is a creation that was cut short

    def _files(self) -> tuple[Any, str]:
        return file_system(self.root, self.storage_options)


def _enter(once: contextlib.ExitStack, uri: str) -> None:
    once.enter_context(locked(uri))


def _barrier(told: Fence) -> tuple[object, ...]:
    return told.role, told.epoch, told.barrier, told.tables
