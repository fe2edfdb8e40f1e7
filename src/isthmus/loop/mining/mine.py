"""Mining: the scenes of the OLAP for which a rule holds, as a list of ids that says how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.core.errors import InputError
from isthmus.core.evaluation import evaluate
from isthmus.core.expression import And, Expression
from isthmus.loop.mining.held import (
    KEY,
    ROW_ID,
    Asked,
    fields_of,
    one_moment,
    require,
    standing,
)
from isthmus.loop.mining.near import NearDuplicates
from isthmus.loop.rules.bind import BoundRule
from isthmus.loop.rules.compile import Compiled, compiled
from isthmus.warehouse.query import quoted, table_named

IDS = pa.schema([("id", pa.string()), (ROW_ID, pa.uint64())])
PAGE = 65_536
"""Rows whose vectors are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Mined:
    """The scenes that were found, and how.

    `ids` has the columns id and _rowid, in the order of the row ids, which is the order of ingest and stays the
    same for one version of the warehouse. `considered` counts the scenes that the filter let through (all of
    them without one), `matched` those of them for which the rule holds, `suppressed` the near-duplicates among
    the matched that were left out before the list was full. `warehouse` is the table's name; `uri`, `identity`
    and `version` are those that the OLAP stood at (empty, and the version handed in, where it does not say).
    """

    ids: pa.Table
    considered: int
    matched: int
    suppressed: int
    rule: str
    parameters: Mapping[str, Any]
    where: str
    threshold: float | None
    warehouse: str
    version: int
    uri: str = ""
    identity: str = ""

    @property
    def count(self) -> int:
        """The number of scenes in the list."""
        return int(self.ids.num_rows)


@dataclass(frozen=True, slots=True)
class Held:
    """Whether one rule holds for one scene; None where a field that it needs is null."""

    rule: str
    about: str
    condition: str
    holds: bool | None


def mine(
    olap: Asked,
    table: str,
    bound: BoundRule | None,
    where: Expression | None = None,
    *,
    warehouse: str,
    version: int,
    limit: int | None = None,
    suppress: float | None = None,
    key: str = KEY,
) -> Mined:
    """Find the scenes for which the rule and the filter both hold; either may be None.

    Rows of any other table are found the same way; `key` is the table's key.

    `suppress` leaves out every scene whose vector lies within this distance of one that is in the list already;
    scenes without a vector stay. `limit` counts what is left. Raises InputError for a limit or threshold below
    zero, UnknownName for a field that the OLAP does not hold, QueryRefused where it has no such table.
    """
    if limit is not None and limit < 0:
        raise InputError(f"a limit of {limit} scenes is below zero", "ask for 0 or more")
    rule = bound.expression if bound else None
    asked = rule if where is None else where if rule is None else And(where, rule)
    needed = {key, ROW_ID, *fields_of(asked)}
    with one_moment(olap) as view:
        stands = standing(view, table)
        require(view, table, needed if suppress is None else needed | {"vector"})
        considered = _count(view, table, where)
        if suppress is None:
            ids, suppressed = _all(view, table, key, asked, limit), 0
        else:
            ids, suppressed = _apart(view, table, asked, limit, NearDuplicates(suppress))
        if rule is None:
            matched = considered
        else:  # a list without a limit has counted them already
            matched = ids.num_rows + suppressed if limit is None else _count(view, table, asked)
    return Mined(
        ids=ids,
        considered=considered,
        matched=matched,
        suppressed=suppressed,
        rule=bound.text if bound else "",
        parameters={parameter.name: parameter.value for parameter in bound.parameters} if bound else {},
        where="" if where is None else str(where),
        threshold=suppress,
        warehouse=warehouse,
        version=stands.version if stands else version,
        uri=stands.uri if stands else "",
        identity=stands.identity if stands else "",
    )


def explain(row: Mapping[str, Any], bound: BoundRule) -> tuple[Held, ...]:
    """Say for one scene which of the rules that take part hold, and whether the whole does, which comes first.

    `row` holds the scene's simple fields. Raises UnknownName for a field that it lacks.
    """
    parts = [
        Held(part.name, part.about, str(part.expression), evaluate(part.expression, row)) for part in bound.parts
    ]
    if len(parts) == 1 and parts[0].rule == bound.text:
        return tuple(parts)
    return (Held(bound.text, "", str(bound.expression), evaluate(bound.expression, row)), *parts)


def _condition(asked: Expression | None) -> Compiled:
    return Compiled("TRUE", ()) if asked is None else compiled(asked)


def _count(olap: Asked, table: str, asked: Expression | None) -> int:
    made = _condition(asked)
    found = olap.query(f"SELECT count(*) AS n FROM {table_named(table)} WHERE {made.sql}", list(made.parameters))
    return int(found["n"][0].as_py())


def _all(olap: Asked, table: str, key: str, asked: Expression | None, limit: int | None) -> pa.Table:
    made = _condition(asked)
    sql = f"SELECT {quoted(key)} AS id, {ROW_ID} FROM {table_named(table)} WHERE {made.sql} ORDER BY {ROW_ID}"
    if limit is None:
        return olap.query(sql, list(made.parameters)).cast(IDS)
    return olap.query(f"{sql} LIMIT ?", [*made.parameters, limit]).cast(IDS)


def _apart(
    olap: Asked, table: str, asked: Expression | None, limit: int | None, near: NearDuplicates
) -> tuple[pa.Table, int]:
    kept: list[pa.Table] = []
    count = suppressed = 0
    for page in _pages(olap, table, asked):
        if limit is not None and count >= limit:
            break
        keep = near.keep(_vectors(page["vector"]))
        if limit is not None and count + int(keep.sum()) > limit:
            end = int(np.flatnonzero(keep)[limit - count])  # what comes after the last one wanted is not judged
            page, keep = page.slice(0, end), keep[:end]
        suppressed += int((~keep).sum())
        count += int(keep.sum())
        kept.append(page.select(["id", ROW_ID]).filter(pa.array(keep)).cast(IDS))
    return pa.concat_tables(kept) if kept else IDS.empty_table(), suppressed


def _pages(olap: Asked, table: str, asked: Expression | None) -> Iterator[pa.Table]:
    """Yield the matching scenes with their vectors, in the order of their row ids."""
    made = _condition(asked)
    sql = (
        f"SELECT {KEY} AS id, {ROW_ID}, vector FROM {table_named(table)} "
        f"WHERE {made.sql} AND {ROW_ID} >= ? ORDER BY {ROW_ID} LIMIT ?"
    )
    start = 0
    while True:
        page = olap.query(sql, [*made.parameters, start, PAGE])
        if page.num_rows:
            yield page
        if page.num_rows < PAGE:
            return
        start = int(page[ROW_ID][-1].as_py()) + 1


def _vectors(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return the vectors as (n, d), a row of NaN where there is none."""
    if not len(column):
        return np.zeros((0, 1), np.float32)
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    size = array.type.list_size
    full = np.full((len(array), size), np.nan, np.float32)
    present = np.asarray(array.is_valid())
    full[present] = array.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return full
