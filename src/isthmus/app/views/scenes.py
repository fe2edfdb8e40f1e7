"""What a site's OLAP holds: scenes, or rows of another of its tables, filtered, sorted and a page at a time.

A filter is made of typed parts (`Sought`), which become one typed expression: no SQL is built from what somebody
typed. What the OLAP holds is shown as it stands; bringing it level with the warehouse is an operation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.app.views.opening import has_olap, opened, reading
from isthmus.core.errors import ConditionError, InputError, UnknownInCondition, UnknownName

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.core.expression import Expression
    from isthmus.loop.rules.bind import BoundRule
    from isthmus.warehouse.query import Reading
    from isthmus.warehouse.schema import Schema

SCENES = "scenes"
MOST = 1000
_FIRST = ("scene_id", "source", "day", "duration_s", "agents", "speed_mean", "accel_min", "ttc_min_s", "cut_ins")
_UNSHOWN = frozenset({"vector", "complex", "speed_profile"})
_MOST_CHOICES = 200
_SORTED = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "date": "DATE"}
"""The types of fields that rows are sorted by, as DuckDB's."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Which rows are wanted; every part that is given must hold.

    `rule` is a rule or a combination of rules, with `settings` for their parameters; `where` a condition on
    simple fields; `ranges` least and greatest values by field; `named` how the key begins. `order` is the field
    to sort by, nulls last; empty: the order of ingest. A table beside the scenes has no rules, sources or tags.
    """

    table: str = SCENES
    named: str = ""
    source: str = ""
    tag: str = ""
    day_from: datetime.date | None = None
    day_to: datetime.date | None = None
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    rule: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    where: str = ""
    order: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a table. `kind` is the declared type, such as float or date."""

    name: str
    kind: str
    unit: str
    about: str

    @property
    def sortable(self) -> bool:
        """Whether rows can be sorted by it."""
        return self.kind in _SORTED

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.kind in ("int", "float")


@dataclass(frozen=True, slots=True)
class TableShown:
    """One table of the OLAP, with how many rows it has and the warehouse version that it is level with."""

    name: str
    key: str
    rows: int
    version: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of rows.

    `matched` counts the rows for which all holds that was asked, `total` those of the table. `where` is the whole
    filter but the rule as one condition, as `isthmus mine --where` takes it. `after` begins the next page.
    """

    table: str
    key: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    matched: int
    total: int
    where: str
    version: int
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """What the fields of a filter may be set to: the first 200 sources and tags, the days that there are."""

    sources: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    first_day: datetime.date | None = None
    last_day: datetime.date | None = None


def list_tables(toml: Path) -> tuple[TableShown, ...]:
    """List what the OLAP holds, by name; nothing where nothing was ingested yet."""
    from isthmus.warehouse.olap import positions_of

    with opened(toml) as site:
        if not has_olap(site):
            return ()
        with reading(site) as view:
            standing = sorted(positions_of(view).values(), key=lambda one: one.name)
        shown = []
        for one in standing:
            schema = schema_of(site, one.name)
            columns = tuple(_column(schema, name) for name in one.fields if name in schema.names)
            shown.append(TableShown(one.name, schema.key, one.rows, one.version, columns))
        return tuple(shown)


def list_scenes(
    toml: Path, sought: Sought, limit: int = 50, after: Sequence[Any] | None = None, columns: Sequence[str] = ()
) -> Listing:
    """List a page of the rows that are sought; `after` is what the page before said.

    Before the first ingest there is no row and no version. Raises InputError where the page begins nowhere,
    UnknownName, ConditionError.
    """
    from isthmus.loop.mining.held import fields_of, require

    limit = max(1, min(limit, MOST))
    with opened(toml) as site, contextlib.ExitStack() as lent:
        if not has_olap(site):
            schema = schema_of(site, sought.table)
            conditions(site, sought, schema)
            return Listing(sought.table, schema.key, (), (), 0, 0, "", 0)
        view = lent.enter_context(reading(site))
        schema, held, version = _standing(site, view, sought.table)
        bound, where = conditions(site, sought, schema)
        whole = _both(bound.expression if bound else None, where)
        require(view, sought.table, fields_of(whole))
        spoken = [name for name in schema.names if name in fields_of(whole) or name == sought.order]
        chosen = _shown(columns, schema, held, spoken)
        order = _order(sought, schema, held)
        rows, last = _rows(view, sought, schema.key, chosen, whole, order, after, limit)
        total = _count(view, sought.table, None)
        matched = total if whole is None else _count(view, sought.table, whole)
        return Listing(
            sought.table,
            schema.key,
            tuple(_column(schema, name) for name in chosen),
            tuple(rows),
            matched,
            total,
            "" if where is None else str(where),
            version,
            last,
        )


def list_choices(toml: Path) -> Choices:
    """Say what scenes can be filtered by; looked up once for each version of the OLAP."""
    with opened(toml) as site:
        if not has_olap(site):
            return Choices()
        with reading(site) as view:
            _, held, version = _standing(site, view, SCENES)
            place = f"{site.tables.olap.path}", version
            with _LOCK:
                known = _CHOICES.get(place[0])
            if known is None or known[0] != version:
                known = version, _choices(view, held)
                with _LOCK:
                    _CHOICES[place[0]] = known
            return known[1]


_LOCK = threading.Lock()
_CHOICES: dict[str, tuple[int, Choices]] = {}


def schema_of(site: Site, table: str) -> Schema:
    """Return the declared schema of one of the OLAP's tables. Raises UnknownName."""
    from isthmus.loop.fields import REJECTS
    from isthmus.loop.fields import SCENES as FIELDS

    known = {SCENES: FIELDS, "rejects": REJECTS}
    return known[table] if table in known else site.tables.table(table).schema


def conditions(site: Site, sought: Sought, schema: Schema) -> tuple[BoundRule | None, Expression | None]:
    """Make the typed expressions of what is sought: the bound rule, and all the rest as one.

    Raises ConditionError for a condition or rule, UnknownName for another field, InputError.
    """
    from isthmus.core.expression import Compare, Contains, Literal, StartsWith
    from isthmus.loop.rules.vocabulary import fields_in

    fields = fields_in(schema)

    def named(name: str) -> Expression:
        if name not in fields:
            raise UnknownName.among("field", name, fields)
        return fields[name]

    def compared(name: str, operator: str, value: Any) -> Expression:
        return Compare(named(name), operator, Literal(value))

    if sought.table != SCENES and (sought.rule or sought.settings):
        raise InputError("rules speak of scenes", f"find rows of {sought.table} by a condition")
    if sought.settings and not sought.rule:
        raise InputError("parameters are those of a rule", "name the rule too")
    parts: list[Expression] = []
    if sought.named:
        parts.append(StartsWith(named(schema.key), Literal(sought.named)))
    if sought.source:
        parts.append(compared("source", "=", sought.source))
    if sought.tag:
        parts.append(Contains(named("tags"), Literal(sought.tag)))
    if sought.day_from:
        parts.append(compared("day", ">=", sought.day_from))
    if sought.day_to:
        parts.append(compared("day", "<=", sought.day_to))
    for name, (least, most) in sought.ranges.items():
        if not named(name).type.numeric:
            raise ConditionError(f"{name!r} holds no numbers", "give it a condition instead of a range")
        parts += [compared(name, ">=", float(least))] if least is not None else []
        parts += [compared(name, "<=", float(most))] if most is not None else []
    try:
        if sought.where:
            parts.append(site.catalogue.where(sought.where, schema))
        bound = site.catalogue.bind(sought.rule, dict(sought.settings)) if sought.rule else None
    except UnknownInCondition as error:  # the condition is wrong, and not what is asked for missing
        raise ConditionError(error.what, error.hint, error.offset) from error
    return bound, reduce(_both, parts, None)


def _both(left: Expression | None, right: Expression | None) -> Expression | None:
    from isthmus.core.expression import And

    if left is None or right is None:
        return right if left is None else left
    return And(left, right)


def _standing(site: Site, view: Reading, table: str) -> tuple[Schema, tuple[str, ...], int]:
    """Return the schema of a table of the OLAP, the fields that it holds, and its version. Raises UnknownName."""
    from isthmus.warehouse.olap import positions_of

    standing = positions_of(view)
    if table not in standing:
        raise UnknownName.among("table", table, standing)
    return schema_of(site, table), standing[table].fields, standing[table].version


def _column(schema: Schema, name: str) -> Column:
    found = schema[name]
    return Column(name, found.type.value, found.unit, found.about)


def _shown(wanted: Sequence[str], schema: Schema, held: Sequence[str], spoken: Sequence[str]) -> tuple[str, ...]:
    """Choose the columns of a page: the key, those wanted, or else some, and those that the filter speaks of."""
    for name in wanted:
        if name not in held:
            raise UnknownName.among("field", name, held)
    usual = [name for name in _FIRST if name in held] or [name for name in held if name not in _UNSHOWN][:8]
    return tuple(dict.fromkeys((schema.key, *(wanted or [*usual, *(n for n in spoken if n not in _UNSHOWN)]))))


def _order(sought: Sought, schema: Schema, held: Sequence[str]) -> str:
    """Return DuckDB's type of the field to sort by; empty for the order of ingest."""
    if not sought.order:
        return ""
    if sought.order not in held:
        raise UnknownName.among("field", sought.order, held)
    kind = _SORTED.get(schema[sought.order].type.value)
    if kind is None:
        raise InputError(f"rows cannot be sorted by {sought.order!r}", "choose a field with one value a row")
    return kind


def _rows(
    view: Reading,
    sought: Sought,
    key: str,
    chosen: Sequence[str],
    whole: Expression | None,
    kind: str,
    after: Sequence[Any] | None,
    limit: int,
) -> tuple[list[Mapping[str, Any]], tuple[Any, ...] | None]:
    """Read one page, and what begins the next."""
    from isthmus.loop.mining.held import ROW_ID
    from isthmus.loop.rules.compile import Compiled, compiled
    from isthmus.warehouse.query import quoted, table_named

    made = Compiled("TRUE", ()) if whole is None else compiled(whole)
    by = quoted(sought.order)
    placed = f"CASE WHEN isnan({by}) THEN NULL ELSE {by} END" if kind == "DOUBLE" else by if kind else "NULL"
    begins, values = _begins(sought, placed, kind, after)
    listed = ", ".join(quoted(name) for name in chosen)
    way = "DESC" if sought.descending else "ASC"
    found = view.query(
        f"SELECT {listed}, {ROW_ID} AS _place, {placed} AS _by FROM {table_named(sought.table)} "
        f"WHERE {made.sql} AND {begins} ORDER BY {f'_by {way} NULLS LAST, ' if kind else ''}_place LIMIT ?",
        [*made.parameters, *values, limit + 1],
    ).to_pylist()
    rows: list[Mapping[str, Any]] = [{name: row[name] for name in chosen} for row in found[:limit]]
    if len(found) <= limit:
        return rows, None
    last = found[limit - 1]
    value = last["_by"].isoformat() if isinstance(last["_by"], datetime.date) else last["_by"]
    return rows, (sought.order, sought.descending, value, last["_place"])


def _begins(sought: Sought, placed: str, kind: str, after: Sequence[Any] | None) -> tuple[str, list[Any]]:
    """Write where a page begins, as a condition and its values."""
    from isthmus.loop.mining.held import ROW_ID

    if after is None:
        return "TRUE", []
    match list(after):
        case [str(order), bool(descending), value, int(place)] if 0 <= place < 2**64:
            if (order, descending) != (sought.order, sought.descending):
                raise InputError("that page belongs to another order", "begin at the first page")
        case _:
            raise InputError("that page begins nowhere", "begin at the first page")
    if not kind:
        return f"{ROW_ID} > ?", [place]
    if value is None:
        return f"({placed} IS NULL AND {ROW_ID} > ?)", [place]
    if not isinstance(value, (str, int, float)):
        raise InputError("that page begins nowhere", "begin at the first page")
    beyond = "<" if descending else ">"
    cast = f"CAST(? AS {kind})"
    return (
        f"({placed} {beyond} {cast} OR ({placed} = {cast} AND {ROW_ID} > ?) OR {placed} IS NULL)",
        [value, value, place],
    )


def _count(view: Reading, table: str, whole: Expression | None) -> int:
    from isthmus.loop.rules.compile import Compiled, compiled
    from isthmus.warehouse.query import table_named

    made = Compiled("TRUE", ()) if whole is None else compiled(whole)
    found = view.query(f"SELECT count(*) AS n FROM {table_named(table)} WHERE {made.sql}", list(made.parameters))
    return int(found["n"][0].as_py())


def _choices(view: Reading, held: Sequence[str]) -> Choices:
    made = Choices()
    if "source" in held:
        sources = view.query("SELECT DISTINCT source FROM scenes ORDER BY source LIMIT ?", [_MOST_CHOICES])
        made = dataclasses.replace(made, sources=tuple(sources["source"].to_pylist()))
    if "tags" in held:
        tags = view.query(
            "SELECT DISTINCT tag FROM (SELECT unnest(tags) AS tag FROM scenes) "
            "WHERE tag IS NOT NULL ORDER BY tag LIMIT ?",
            [_MOST_CHOICES],
        )
        made = dataclasses.replace(made, tags=tuple(tags["tag"].to_pylist()))
    if "day" in held:
        days = view.query("SELECT min(day) AS first, max(day) AS last FROM scenes").to_pylist()[0]
        made = dataclasses.replace(made, first_day=days["first"], last_day=days["last"])
    return made
