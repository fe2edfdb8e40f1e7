"""The catalogue: which tables lie under a root, by `database.schema.table`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lance

from isthmus.core.errors import InputError, UnknownName
from isthmus.warehouse import declared
from isthmus.warehouse.declared import Compression
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import as_uri, file_system
from isthmus.warehouse.schema import Schema
from isthmus.warehouse.table import ROWS_PER_FRAGMENT, Table

STORAGE_VERSION = "2.2"
_SUFFIX = ".lance"


class Catalog:
    """The tables under one root, each a Lance dataset at `<root>/<database>/<schema>/<table>.lance`."""

    def __init__(self, root_uri: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        """Speak of the root; nothing is read or made yet. A bare path becomes a `file://` URI."""
        self.root = as_uri(root_uri)
        self.storage_options = dict(storage_options or {})

    def uri(self, name: TableName) -> str:
        """Return the URI of a table, whether it is there or not."""
        return f"{self.root}/{name.database}/{name.schema}/{name.table}{_SUFFIX}"

    def create(
        self,
        name: TableName,
        schema: Schema,
        *,
        compression: Compression = "zstd",
        rows_per_fragment: int = ROWS_PER_FRAGMENT,
    ) -> Table:
        """Make a table, or return the one that is there where its schema is equal.

        Raises InputError, naming the difference, where a table of another schema is there.
        """
        if self._exists(name):
            table = self.open(name)
            differs = declared.difference(table.schema, schema)
            if differs:
                raise InputError(f"table {name} is already there: {differs}", "drop it or choose another name")
            return table
        arrow = declared.to_arrow(schema, compression)
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
            return self.create(name, schema, compression=compression, rows_per_fragment=rows_per_fragment)
        return Table(self.uri(name), self.storage_options, rows_per_fragment=rows_per_fragment)

    def open(self, name: TableName, rows_per_fragment: int = ROWS_PER_FRAGMENT) -> Table:
        """Open a table at its latest version. Raises UnknownName with the nearest that is there."""
        if not self._exists(name):
            raise UnknownName.among("table", str(name), (str(known) for known in self.names()))
        return Table(self.uri(name), self.storage_options, rows_per_fragment=rows_per_fragment)

    def names(self) -> list[TableName]:
        """List the tables, sorted."""
        files, root = self._files()
        found = []
        for path in files.glob(f"{root}/*/*/*{_SUFFIX}"):
            database, schema, table = str(path).rstrip("/").rsplit("/", 3)[1:]
            try:
                found.append(TableName(database, schema, table.removesuffix(_SUFFIX)))
            except InputError:
                continue  # a folder that no catalogue made
        return sorted(found)

    def drop(self, name: TableName) -> None:
        """Remove a table with all its versions. Raises UnknownName, Busy."""
        table = self.open(name)
        with table.writing():
            files, root = self._files()
            files.rm(f"{root}/{name.database}/{name.schema}/{name.table}{_SUFFIX}", recursive=True)

    def _exists(self, name: TableName) -> bool:
        files, root = self._files()
        files.invalidate_cache()
        manifests = f"{root}/{name.database}/{name.schema}/{name.table}{_SUFFIX}/_versions/*.manifest"
        return bool(files.glob(manifests))  # a folder without one is a creation that was cut short

    def _files(self) -> tuple[Any, str]:
        return file_system(self.root, self.storage_options)
