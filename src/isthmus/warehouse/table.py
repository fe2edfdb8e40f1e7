"""One table: a Lance dataset with stable row ids, written by one writer at a time.

Where the root's fence says that the table is a replica (see `warehouse.fence`), its reader gets the version that
the standby shows, never a later one, and every write is refused.
"""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import lance
import pyarrow as pa
from lance.fragment import write_fragments

from isthmus.core.errors import Corrupt, InputError, UnknownName
from isthmus.state.lock import held
from isthmus.warehouse import declared, fence
from isthmus.warehouse.abreast import abreast, readers
from isthmus.warehouse.buffers import keep_freed_memory
from isthmus.warehouse.cleaning import cleaned
from isthmus.warehouse.fence import Fence, Shown
from isthmus.warehouse.incoming import Incoming
from isthmus.warehouse.place import local_path
from isthmus.warehouse.schema import Schema

ROWS_PER_FRAGMENT = 262_144
BATCH_ROWS = 4096
ROW_ID = "_rowid"
ROW_VERSION = "_row_last_updated_at_version"


class Table:
    """A table at one version. Reading stays at that version until `refresh` or a write of this object."""

    def __init__(
        self,
        uri: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        version: int | str | None = None,
        rows_per_fragment: int = ROWS_PER_FRAGMENT,
        block_bytes: int | None = None,
    ) -> None:
        """Open the dataset at `uri`. Catalog.open is the usual way in.

        Without a `version` it is the one that a standby shows of the table, elsewhere the latest. Reads that lie
        less than `block_bytes` apart are joined into one; None leaves it to Lance. Raises Corrupt where the
        version that is shown is not there.
        """
        keep_freed_memory()
        self.uri = uri
        self.rows_per_fragment = rows_per_fragment
        self._options = dict(storage_options or {})
        self._block_bytes = block_bytes
        self._home = fence.home(uri)
        self._shown = self._to_show() if version is None else None
        self._dataset = self._opened_shown(self._shown) if self._shown else self._opened(version)

    @property
    def storage_options(self) -> Mapping[str, str]:
        """The options of the storage that the table lies in."""
        return self._options

    @property
    def dataset(self) -> Any:
        """The Lance dataset itself, for what this class does not cover. Write only through the Table."""
        return self._dataset

    @cached_property
    def schema(self) -> Schema:
        """The declared schema, units and explanations included."""
        return declared.from_arrow(self._dataset.schema, self.uri)

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the table's batches."""
        arrow: pa.Schema = self._dataset.schema
        return arrow

    @property
    def identity(self) -> str:
        """What tells this table from a later one at the same place."""
        return str((self.arrow.metadata or {}).get(declared.IDENTITY, b"").decode())

    @property
    def version(self) -> int:
        """The version that is read."""
        return int(self._dataset.version)

    @property
    def era(self) -> str:
        """What must stay equal for the pair of a row's id and version to name the row's content; often empty.

        A column that was changed leaves the versions of the rows as they are, and after a failover two sites may
        have given one version to two contents.
        """
        altered = (self.arrow.metadata or {}).get(declared.ALTERED, b"").decode()
        epoch = self._fence().epoch
        return f"#{epoch}.{altered or 0}" if altered or epoch > 1 else ""

    def refresh(self) -> int:
        """Go to the version that a standby shows of the table now, elsewhere to the latest, and return it.

        Raises InputError where the table is gone, Corrupt where the version that is shown is not there.
        """
        before, shown = self.version, self._to_show()
        if shown is not None and shown != self._shown:
            self._dataset = self._opened_shown(shown)  # anew: the same number may mean another content now
        elif shown is None and self._shown is not None:
            self._dataset = self._opened(None)
        elif shown is None:
            self._go_to_latest()
        if shown != self._shown or self.version != before:
            for cached in ("schema", "arrow"):
                self.__dict__.pop(cached, None)
        self._shown = shown
        return self.version

    def refusal(self) -> tuple[str, str] | None:
        """Say why the table is not to be written now, and what to do; None where it may be."""
        return self._fence().refusal(self._home[1]) if self._home else None

    def at(self, version: int | str) -> Table:
        """Return the table at another version or tag. Raises InputError where it is gone."""
        try:
            return Table(self.uri, self._options, version=version, rows_per_fragment=self.rows_per_fragment)
        except (ValueError, OSError) as error:
            raise InputError(
                f"{self.uri} has no version {version!r}", "it was cleaned up or never was; read the latest"
            ) from error

    def joining(self, block_bytes: int) -> Table:
        """Return the table at this version, reading what is less than `block_bytes` apart in one go."""
        return Table(
            self.uri,
            self._options,
            version=self.version,
            rows_per_fragment=self.rows_per_fragment,
            block_bytes=block_bytes,
        )

    def count(self, where: str | None = None) -> int:
        """Count the rows, or those that a condition holds for. Raises InputError on a bad condition."""
        self.check(where)
        return int(self._dataset.count_rows(filter=where))

    def scan(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        batch_rows: int = BATCH_ROWS,
        version: int | str | None = None,
        with_row_id: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows in batches of at most `batch_rows`, in no order that is promised.

        Raises UnknownName for a column, InputError for a bad condition or a version that is gone.
        """
        table = self if version is None else self.at(version)
        table.known(columns)
        table.check(where)
        return table._stream(columns, where=where, batch_rows=batch_rows, with_row_id=with_row_id)

    def scan_abreast(
        self,
        columns: Sequence[str],
        each: Callable[[pa.RecordBatch], pa.RecordBatch],
        batch_rows: int = BATCH_ROWS,
        width: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream what `each` makes of all rows, reading `width` fragments at once: see `readers`.

        `each` is called on several threads at once. `width` is `readers()` where none is given.
        """
        self.known(columns)
        fragments = self._dataset.get_fragments()

        def read(fragment: Any) -> Iterator[pa.RecordBatch]:
            return map(each, self._stream(columns, [fragment], batch_rows=batch_rows))

        return abreast([partial(read, part) for part in fragments], width or readers())

    def _stream(
        self, columns: Sequence[str] | None, fragments: Sequence[Any] | None = None, **options: Any
    ) -> Iterator[pa.RecordBatch]:
        scanner = self._dataset.scanner(
            columns=list(columns) if columns is not None else None,
            filter=options.get("where"),
            fragments=fragments,
            batch_size=options["batch_rows"],
            batch_readahead=4,
            fragment_readahead=1,
            with_row_id=options.get("with_row_id", False),
        )
        return iter(scanner.to_batches())

    def append(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Add rows as one version and return how many.

        Raises InputError where a key comes twice or is already there, UnknownName for a column, Busy.
        """
        with self.writing():
            rows, meets = self._append(batches)
            if meets is not None:
                key = self.schema.key
                raise InputError(
                    f"the key {key} = {meets!r} is already in the table", "use replace to update rows"
                )
            return rows

    def replace(self, batches: Iterable[pa.RecordBatch], where: str) -> int:
        """Make the rows of the slice `where` exactly those of the batches, in one transaction.

        Rows are matched by key: those of the batches are put in or updated, those of the slice that the batches
        lack are deleted. The batches should lie in the slice. Doing it again changes nothing, so a replay after
        a crash is safe. Returns the number of rows handed in. Raises InputError, UnknownName, Busy.
        """
        with self.writing():
            if self.count(where) == 0:
                return self._append(batches, or_merge=where)[0]
            stream = Incoming(batches, self.arrow, self.schema.key)
            with stream.own_errors():
                self._merge(stream.reader(), where)
            return stream.rows

    def delete(self, where: str) -> int:
        """Delete the rows that a condition holds for and return how many. Raises InputError, Busy."""
        with self.writing():
            self.check(where)
            if self._dataset.count_rows(filter=where) == 0:
                return 0  # no version for nothing
            deleted = int(self._dataset.delete(where)["num_deleted_rows"])
            self.refresh()
            return deleted

    def pin(self, tag: str) -> None:
        """Keep the present version from cleanup under a name; an existing name moves to it.

        Raises Refused for a replica, which is kept as it is elsewhere.
        """
        self._own()
        if tag in self._dataset.tags.list():
            self._dataset.tags.update(tag, self.version)
        else:
            self._dataset.tags.create(tag, self.version)

    def unpin(self, tag: str) -> None:
        """Let go of a pinned version. Raises UnknownName, and Refused for a replica."""
        self._own()
        tags = self._dataset.tags.list()
        if tag not in tags:
            raise UnknownName.among("tag", tag, tags)
        self._dataset.tags.delete(tag)

    def compact(self) -> None:
        """Join small fragments, part large ones and drop deleted rows; row ids stay. Raises Busy."""
        with self.writing():
            self._dataset.optimize.compact_files(
                target_rows_per_fragment=self.rows_per_fragment, num_threads=1, batch_size=BATCH_ROWS
            )
            self.refresh()

    def cleanup(self, older_than: datetime.timedelta) -> int:
        """Remove versions older than a time, pinned ones excepted; returns the bytes freed. Raises Busy."""
        with self.writing():
            return cleaned(self._dataset, older_than)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer for the block, at the latest version. Raises Busy, Refused where the fence forbids it.

        The lock covers the processes of one machine; on an object store the writers are kept apart by the
        ledger of runs, and Lance's commit protocol refuses what would conflict. The fence is read inside the
        lock: who changes it and then takes the lock once has no writer of before left.
        """
        place = local_path(self.uri)
        with locked(self.uri) if place is not None else contextlib.nullcontext():
            if self._home:
                self._fence().allow(self._home[1])
            self.refresh()
            yield

    def known(self, columns: Sequence[str] | None) -> None:
        """Check the names of columns. Raises UnknownName."""
        for name in columns or ():
            if name not in self.schema.names and name not in (ROW_ID, ROW_VERSION):
                raise UnknownName.among("column", name, self.schema.names)

    def check(self, where: str | None) -> None:
        """Check a condition without reading rows. Raises UnknownName for a column, else InputError."""
        if where is None:
            return
        try:
            self._dataset.scanner(columns=[self.schema.key], filter=where, limit=1).explain_plan()
        except (ValueError, OSError, RuntimeError) as error:
            missing = re.search(r"No field named \"?([\w.]+)", str(error))
            if missing:
                raise UnknownName.among("column", missing[1].rstrip("."), self.schema.names) from error
            first = str(error).splitlines()[0]
            raise InputError(f"the condition {where!r} cannot be used: {first}", "write it in SQL") from error

    def _fence(self) -> Fence:
        return fence.read(self._home[0], self._options) if self._home else Fence()

    def _to_show(self) -> Shown | None:
        return self._fence().shown(self._home[1]) if self._home else None

    def _own(self) -> None:
        now = self._fence()
        if self._home and now.replica(self._home[1]):
            now.allow(self._home[1])

    def _opened(self, version: int | str | None) -> Any:
        return lance.dataset(
            self.uri, version=version, storage_options=self._options or None, block_size=self._block_bytes
        )

    def _opened_shown(self, shown: Shown) -> Any:
        try:
            return self._opened(shown.version)
        except (ValueError, OSError) as error:
            raise Corrupt(
                f"the replica {self.uri} lacks version {shown.version}, which this standby shows",
                "find what else is missing and mend it: isthmus recovery verify",
            ) from error

    def _go_to_latest(self) -> None:
        try:
            self._dataset.checkout_latest()
        except (ValueError, OSError) as error:
            place = local_path(self.uri)
            if place is None or (place / "_versions").is_dir():
                raise
            raise InputError(f"the table {self.uri} is gone", "it was dropped or renamed; open it anew") from error

    def _merge(self, reader: pa.RecordBatchReader, where: str) -> None:
        merge = (
            self._dataset.merge_insert(self.schema.key)
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .when_not_matched_by_source_delete(where)
        )
        merge.execute(reader)
        self.refresh()

    def _append(self, batches: Iterable[pa.RecordBatch], or_merge: str | None = None) -> tuple[int, str | None]:
        """Write the rows as files of their own, check their keys, then commit.

        Where a key is already in the table: merges the files in the slice `or_merge`, or, without one, commits
        nothing. Returns the number of rows and that key.
        """
        stream = Incoming(batches, self.arrow, self.schema.key)
        with stream.own_errors():
            staged = write_fragments(
                stream.reader(),
                self._dataset,
                mode="append",
                max_rows_per_file=self.rows_per_fragment,
                storage_options=self._options or None,
            )
        if not stream.rows:
            return 0, None
        append = lance.LanceOperation.Append(staged)
        before = self._dataset
        meets = stream.meets(before)
        if meets is None:
            self._dataset = lance.LanceDataset.commit(before, append, read_version=self.version)
            return stream.rows, None
        if or_merge is not None:
            aside = lance.LanceDataset.commit(before, append, read_version=self.version, detached=True)
            new = aside.get_fragments()[-len(staged) :]
            self._merge(aside.scanner(fragments=new, batch_size=BATCH_ROWS).to_reader(), or_merge)
        self._discard(staged)
        return stream.rows, meets

    def _discard(self, staged: Iterable[Any]) -> None:
        """Remove files that no version names; on an object store cleanup does it later."""
        place = local_path(self.uri)
        if place is not None:
            for fragment in staged:
                for file in fragment.files:
                    (place / "data" / file.path).unlink(missing_ok=True)


def locked(uri: str) -> contextlib.AbstractContextManager[None]:
    """Hold the lock of the local table at `uri`, as each of its writers does. Raises Busy."""
    place = local_path(uri)
    assert place is not None
    return held(place.with_name(f".{place.stem}.lock"), f"a write to the table {place.stem}")
