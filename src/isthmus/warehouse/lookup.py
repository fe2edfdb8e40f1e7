"""Reads exactly the rows of a list: by row id or by key, row by row or by a scan, and counts what came back.

Lance leaves deleted rows out of a take without a word, and a row id may come from an older version. So each row
that comes back is compared with the key that was asked for; what is missing is looked up once more by key, and
what is still missing is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isthmus.core.errors import InputError
from isthmus.warehouse.abreast import abreast, readers
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.place import local_path
from isthmus.warehouse.plan import JOINED_BYTES, Plan, choose
from isthmus.warehouse.table import ROW_ID, Table

TAKE_ROWS = 4096
_STRETCH = 16
"""So many takes, one after the other in the table, are one thread's share at a time."""
_KEY_BATCH = 1 << 20

Missing = Callable[[list[str]], None]


def take(
    table: Table,
    ids: IdList | Sequence[str] | pa.Array | pa.ChunkedArray,
    columns: Sequence[str] | None = None,
    *,
    batch_rows: int = TAKE_ROWS,
    missing: Missing | None = None,
    plan: Plan | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream the asked rows, in no order that is promised, in batches of at most `batch_rows`.

    `ids` is an ID list, or keys. The key column always comes along. Rows that are gone are handed to `missing`
    after all others; without it they raise InputError then. `plan` forces a plan (else `plan.choose`).
    """
    table.known(columns)
    wanted = _wanted(table, columns)
    if isinstance(ids, IdList):
        keys = _flat(ids.ids)
        trusted = ids.identity == table.identity  # row ids of another table mean nothing here
        row_ids = ids.row_ids.to_numpy() if trusted else np.zeros(0, np.uint64)
    else:
        keys, trusted, row_ids = _flat(ids), False, np.zeros(0, np.uint64)
        if pc.count_distinct(keys).as_py() != len(keys):  # a list was checked when it was made
            raise InputError("a key is asked for twice", "hand each key in once")
    how = plan or choose(len(keys), table.count(), local=local_path(table.uri) is not None)
    return _rows(table, keys, row_ids if trusted else None, wanted, batch_rows, missing, how)


def _rows(
    table: Table,
    keys: pa.Array,
    row_ids: NDArray[np.uint64] | None,
    wanted: list[str],
    batch_rows: int,
    missing: Missing | None,
    plan: Plan,
) -> Iterator[pa.RecordBatch]:
    left = keys
    if row_ids is not None:
        asked = _Asked(keys, row_ids, table.schema.key)
        yield from _read(table, asked, wanted, batch_rows, plan)
        left = asked.left()
    if len(left):
        again = _resolve(table, left)
        plan = plan if row_ids is None else choose(len(left), table.count(), local=False)
        yield from _read(table, again, wanted, batch_rows, plan)
        found = pc.is_in(left, value_set=again.found())
        left = left.filter(pc.invert(found))
    if len(left):
        if missing is None:
            some = ", ".join(str(key) for key in left[:3].to_pylist()) + (", …" if len(left) > 3 else "")
            raise InputError(
                f"{len(left)} of {len(keys)} rows are no longer in {table.uri}: {some}",
                "they were deleted since the list was made; mine it again",
            )
        missing(left.to_pylist())


class _Asked:
    """Asked rows, sorted by row id, and which of them have come back with the right key.

    `keep` may run on several threads at once: each row comes once, so no two of them note the same place.
    """

    def __init__(self, keys: pa.Array, row_ids: NDArray[np.uint64], key: str) -> None:
        order = np.argsort(row_ids, kind="stable")
        self.row_ids = row_ids[order]
        self._keys = keys.take(pa.array(order))
        self._key = key
        self._seen = np.zeros(len(order), bool)

    def keep(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Keep the rows of a batch that were asked for, and note them."""
        came = batch.column(batch.schema.get_field_index(ROW_ID)).to_numpy()
        if not len(came) or not len(self.row_ids):
            return batch.slice(0, 0)
        start = int(np.searchsorted(self.row_ids, came[0]))
        stretch = slice(start, start + len(came))
        if np.array_equal(self.row_ids[stretch], came):  # all of the batch was asked for, as in a long list
            return self._right(
                batch, self._keys.slice(start, len(came)), np.arange(*stretch.indices(stretch.stop))
            )
        at = np.minimum(np.searchsorted(self.row_ids, came), len(self.row_ids) - 1)
        hit = np.flatnonzero(self.row_ids[at] == came)
        if not len(hit):
            return batch.slice(0, 0)
        kept = batch if len(hit) == len(came) else batch.take(pa.array(hit))
        return self._right(kept, self._keys.take(pa.array(at[hit])), at[hit])

    def _right(self, batch: pa.RecordBatch, keys: pa.Array, at: NDArray[np.intp]) -> pa.RecordBatch:
        """Keep the rows that bear the keys asked for, and note them; `at` are their places in the list."""
        right = pc.equal(batch.column(self._key), keys)
        if not pc.all(right).as_py():
            batch, at = batch.filter(right), at[right.to_numpy(zero_copy_only=False)]
        self._seen[at] = True
        return batch

    def left(self) -> pa.Array:
        """Return the keys that have not come back."""
        return self._keys.filter(pa.array(~self._seen))

    def found(self) -> pa.Array:
        """Return the keys that have come back."""
        return self._keys.filter(pa.array(self._seen))


def _read(table: Table, asked: _Asked, wanted: list[str], batch_rows: int, plan: Plan) -> Iterator[pa.RecordBatch]:
    read = [*wanted, ROW_ID]
    if plan is Plan.SCAN:
        come = table.scan_abreast(read, asked.keep, batch_rows)
    elif plan is Plan.JOINED:
        joining, share = table.joining(JOINED_BYTES), batch_rows * _STRETCH
        shares = [asked.row_ids[start : start + share] for start in range(0, len(asked.row_ids), share)]
        come = abreast([partial(_taken, joining, asked, part, read, batch_rows) for part in shares], readers())
    else:
        come = _taken(table, asked, asked.row_ids, read, batch_rows)
    for kept in come:
        if kept.num_rows:
            yield kept.select(wanted)


def _taken(
    table: Table, asked: _Asked, row_ids: NDArray[np.uint64], columns: list[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    dataset: Any = table.dataset
    for start in range(0, len(row_ids), batch_rows):
        ids = pa.array(row_ids[start : start + batch_rows])
        found = dataset._take_rows(ids, columns=columns)  # the one call of Lance that reads by stable row id
        yield from map(asked.keep, found.combine_chunks().to_batches())


def _resolve(table: Table, keys: pa.Array) -> _Asked:
    """Find the row ids of keys by reading the key column."""
    key = table.schema.key
    found_keys, found_ids = [], []
    for batch in table.scan([key, ROW_ID], batch_rows=_KEY_BATCH):
        hit = batch.filter(pc.is_in(batch.column(key), value_set=keys))
        found_keys.append(hit.column(key))
        found_ids.append(hit.column(ROW_ID).to_numpy())
    names = pa.concat_arrays(found_keys) if found_keys else pa.array([], keys.type)
    return _Asked(names, np.concatenate(found_ids) if found_ids else np.zeros(0, np.uint64), key)


def _wanted(table: Table, columns: Sequence[str] | None) -> list[str]:
    names = list(table.schema.names if columns is None else columns)
    return names if table.schema.key in names else [table.schema.key, *names]


def _flat(ids: Sequence[str] | pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(ids, pa.ChunkedArray):
        return pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], ids.type)
    return ids if isinstance(ids, pa.Array) else pa.array(list(ids), pa.string())
