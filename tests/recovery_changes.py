"""What people do to the tables of a site of the model: rows, tables, columns, care, publications."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from isthmus.core.errors import Refused
from isthmus.recovery import publications
from isthmus.recovery.eligibility import opt_in, opt_out
from isthmus.recovery.objects import Object
from isthmus.warehouse import alter
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table
from recovery_model import OTHER, World, Wrong
from recovery_oracle import KEY, Sheet, Value, aside

NAMES = ("m.s.a", "m.s.b", "m.t.c", "m.t.d")
COLUMNS = ("x", "y", "z")
TYPES = {"int": FieldType.INT, "float": FieldType.FLOAT, "string": FieldType.STRING}
RETYPES = {"int": ("float", "string"), "float": (), "string": ()}
MOST_COLUMNS = 3
OBJECTS = ("*", "m", "m.s", "m.t", *NAMES)
_MOST_ROWS = 20


class Changes:
    """Changes at one world. Numbers choose, modulo what there is to choose from."""

    def __init__(self, world: World) -> None:
        self.world = world

    def writable(self, name: str, number: int) -> str:
        """Choose a table that a site may write; empty where it has none, or may write nothing."""
        own = sorted(one for one in self.world.expected[name].own if not aside(one))
        return own[number % len(own)] if own and self.world.expected[name].role == "primary" else ""

    def rows(self, name: str, number: int, kind: int, seed: int) -> None:
        """Insert, replace or delete a few rows."""
        table = self.writable(name, number)
        if not table:
            return
        sheet, lance = self._sheet(name, table), self._open(name, table)
        keys = [f"k{(seed + step) % 12}" for step in range(1 + seed % 3)]
        if kind == 0 and len(sheet.rows) < _MOST_ROWS:
            fresh = {f"n{seed % 90}_{step}": self._values(sheet, seed + step) for step in range(1 + seed % 4)}
            made = {key: row for key, row in fresh.items() if key not in sheet.rows}
            if made:
                lance.append([self._batch(lance, sheet, made)])
                sheet.rows.update(made)
        elif kind == 1:
            made = {key: self._values(sheet, seed + step) for step, key in enumerate(keys)}
            lance.replace([self._batch(lance, sheet, made)], _among(keys))
            sheet.rows.update(made)
        else:
            gone = sorted(sheet.rows)[seed % 4 :: 3]
            if gone:
                lance.delete(_among(gone))
                for key in gone:
                    del sheet.rows[key]
        self._done(name, "rows", sheet)

    def tables(self, name: str, number: int, kind: int, seed: int) -> None:
        """Create, drop, rename, or drop and make again, a table."""
        expected, catalog = self.world.expected[name], self.world.catalog(name)
        if expected.role != "primary":
            return
        free = self._free(name)
        if kind == 0 and free:
            self._create(name, free[seed % len(free)], seed)
            return
        table = self.writable(name, number)
        if not table:
            return
        if kind in (1, 3):
            catalog.drop(TableName.parse(table))
            del expected.own[table]
            self._follow(name)
            if kind == 3:
                self._create(name, table, seed)
        elif kind == 2 and free:
            to = free[seed % len(free)]
            catalog.rename(TableName.parse(table), TableName.parse(to))
            expected.renamed(table, to)
            self._follow(name)
        self.world.steps["tables"] += 1

    def _create(self, name: str, table: str, seed: int) -> None:
        columns = [(COLUMNS[step], list(TYPES)[(seed + step) % 3]) for step in range(seed % MOST_COLUMNS + 1)]
        fields = [Field(KEY, FieldType.STRING, nullable=False)]
        fields += [Field(column, TYPES[kind]) for column, kind in columns]
        made = self.world.catalog(name).create(TableName.parse(table), Schema(tuple(fields), KEY))
        sheet = Sheet(made.identity, columns)
        self.world.expected[name].own[table] = sheet
        if seed % 2:
            rows = {f"k{step}": self._values(sheet, seed + step) for step in range(1 + seed % 5)}
            made.append([self._batch(made, sheet, rows)])
            sheet.rows.update(rows)
        self._follow(name)
        self._done(name, "tables", sheet)

    def columns(self, name: str, number: int, kind: int, seed: int) -> None:
        """Add, rename, drop or retype a column, or make or take away an index."""
        table = self.writable(name, number)
        if not table:
            return
        sheet, lance = self._sheet(name, table), self._open(name, table)
        free = [column for column in COLUMNS if column not in dict(sheet.columns)]
        at = seed % len(sheet.columns) if sheet.columns else 0
        if kind == 0 and free:
            column, what = free[seed % len(free)], list(TYPES)[seed % 3]
            fill = None if seed % 2 else _value(what, seed)
            alter.add_column(lance, Field(column, TYPES[what]), fill)
            sheet.add(column, what, fill)
        elif not sheet.columns:
            return
        elif kind == 1 and free:
            alter.rename_column(lance, sheet.columns[at][0], free[seed % len(free)])
            sheet.rename(at, free[seed % len(free)])
        elif kind == 2:
            alter.drop_column(lance, sheet.columns[at][0])
            sheet.drop(at)
        elif kind == 3 and (to := RETYPES[sheet.columns[at][1]]):
            alter.retype_column(lance, sheet.columns[at][0], TYPES[to[seed % 2]])
            sheet.retype(at, to[seed % 2])
        elif kind == 4:
            alter.create_index(lance, sheet.columns[at][0])
        self._done(name, "columns", sheet)

    def care(self, name: str, number: int, kind: int) -> None:
        """Compact a table, or remove its old versions."""
        table = self.writable(name, number)
        if table:
            lance = self._open(name, table)
            if kind % 2:
                lance.compact()
            if kind > 1:
                lance.cleanup(datetime.timedelta())
            self._done(name, "care", self._sheet(name, table))

    def publish(self, name: str, number: int, kind: int) -> None:
        """Publish or withdraw something, opt a table in or out."""
        expected, site = self.world.expected[name], self.world.sites[name]
        if expected.role != "primary":
            return
        item = Object.parse(OBJECTS[number % len(OBJECTS)])
        table = self.writable(name, number)
        there = item.kind == "everything" or any(
            item.covers(Object.parse(one)) for one in expected.own if not aside(one)
        )
        if kind == 0 and there:
            known = {one.name for one in publications.publications(site.store)}
            if known:
                outcome = publications.alter(site.store, site.catalog, min(known), add=(item,), force=True)
            else:
                outcome = publications.create(site.store, site.catalog, "p", (item,))
            for failure in (one for one in outcome.failed if not aside(str(one.object))):
                raise Wrong(f"{failure.object} could not be published: {failure}")
            wider = {one for one in expected.objects if one != item and one.covers(item)}
            expected.objects -= wider
            expected.publish(item)
        elif kind == 1 and item in expected.objects:
            publications.cancel(site.store, (item,))
            expected.objects.discard(item)
        elif kind == 2 and table:
            opt_in(site.store, site.catalog, table)
            expected.opted.add(table)
        elif kind == 3 and table:
            opt_out(site.store, table)
            expected.opted.discard(table)
        self._follow(name)
        self.world.steps["publish"] += 1

    def forbidden(self, name: str, number: int) -> None:
        """Try to write where that must not be."""
        expected = self.world.expected[name]
        tables = sorted(expected.shown if expected.role == "standby" else expected.own)
        if expected.role == "primary" or not tables:
            return
        table = tables[number % len(tables)]
        tries: list[Callable[[], Any]] = [
            lambda: self._open(name, table).delete("true"),
            lambda: self.world.catalog(name).drop(TableName.parse(table)),
            lambda: alter.add_column(self._open(name, table), Field("rogue", FieldType.INT)),
        ]
        if expected.tables[table].rows:
            try:
                tries[number % len(tries)]()
            except Refused:
                self.world.steps["refused"] += 1
                return
            raise Wrong(f"{name} ({expected.role}) let {table} be written")

    def _free(self, name: str) -> list[str]:
        """Names that no table bears, nor one that the other site alone has."""
        taken = set(self.world.expected[name].own) | set(self.world.expected[OTHER[name]].own)
        return [one for one in NAMES if one not in taken]

    def _follow(self, name: str) -> None:
        """Let the publications follow tables that were renamed or made again, as each round does."""
        self.world.sites[name].published()

    def _done(self, name: str, what: str, sheet: Sheet) -> None:
        self.world.remember(name, sheet)
        self.world.steps[what] += 1

    def _sheet(self, name: str, table: str) -> Sheet:
        return self.world.expected[name].own[table]

    def _open(self, name: str, table: str) -> Table:
        return self.world.catalog(name).open(TableName.parse(table))

    def _values(self, sheet: Sheet, seed: int) -> tuple[Value, ...]:
        return tuple(
            None if (seed + at) % 5 == 4 else _value(kind, seed + at) for at, (_, kind) in enumerate(sheet.columns)
        )

    def _batch(self, table: Table, sheet: Sheet, rows: dict[str, tuple[Value, ...]]) -> pa.RecordBatch:
        names = [name for name, _ in sheet.columns]
        made = [{KEY: key, **dict(zip(names, values, strict=True))} for key, values in rows.items()]
        return pa.RecordBatch.from_pylist(made, schema=table.arrow)


def _value(kind: str, seed: int) -> Value:
    values: dict[str, Value] = {"int": seed % 7, "float": seed % 7 + 0.5, "string": f"s{seed % 7}"}
    return values[kind]


def _among(keys: list[str]) -> str:
    return f"{KEY} IN ({', '.join(map(repr, keys))})"
