"""The catalogue: which tables lie under a root, by `database.schema.table`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import lance

from isthmus.core.errors import InputError, UnknownName
from isthmus.warehouse import declared
from isthmus.warehouse.declared import Compression
from isthmus.warehouse.name import TableName
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
        uri = self.uri(name)
        arrow = declared.to_arrow(schema, compression)
        lance.write_dataset(
            arrow.empty_table(),
            uri,
            schema=arrow,
            mode="create",
            data_storage_version=STORAGE_VERSION,
            enable_stable_row_ids=True,
            storage_options=self.storage_options or None,
        )
        return Table(uri, self.storage_options, rows_per_fragment=rows_per_fragment)

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
        return bool(files.exists(f"{root}/{name.database}/{name.schema}/{name.table}{_SUFFIX}/_versions"))

    def _files(self) -> tuple[Any, str]:
        local = local_path(self.root)
        if local is not None:
            return fsspec.filesystem("file"), str(local)
        files, root = fsspec.core.url_to_fs(self.root, **_fsspec_options(self.root, self.storage_options))
        return files, str(root).rstrip("/")


def as_uri(place: str | Path) -> str:
    """Return the URI of a place; a bare path becomes an absolute `file://` URI."""
    text = str(place)
    if "://" in text:
        return text.rstrip("/")
    return Path(text).absolute().as_uri().rstrip("/")


def local_path(uri: str) -> Path | None:
    """Return the path that a `file://` URI names, or None for a URI of another kind."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _fsspec_options(uri: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Say Lance's storage options in the words of fsspec's driver for S3; other kinds take none."""
    if not uri.startswith("s3://"):
        return {}
    words = {
        "key": ("aws_access_key_id", "access_key_id"),
        "secret": ("aws_secret_access_key", "secret_access_key"),
        "token": ("aws_session_token", "session_token"),
        "endpoint_url": ("aws_endpoint", "endpoint", "aws_endpoint_url"),
    }
    lower = {key.lower(): value for key, value in options.items()}
    return {word: lower[name] for word, names in words.items() for name in names if name in lower}
