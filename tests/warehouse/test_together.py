"""Tables that a query spans are opened as one barrier has them, whatever happens meanwhile."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from isthmus.core.errors import Busy, UnknownName
from isthmus.warehouse import fence
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence, Shown
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table

SCHEMA = Schema((Field("id", FieldType.STRING, nullable=False),), "id")
ARROW = pa.schema([pa.field(item.name, item.arrow()) for item in SCHEMA.fields])
A, B = TableName("db", "s", "a"), TableName("db", "s", "b")


class Flipping(Catalog):
    """A standby that goes to its next barrier whenever a certain table was opened, so many times."""

    def __init__(self, root: Path, flips: int) -> None:
        super().__init__(root)
        self.flips, self.at = flips, 1

    def open(self, name: TableName, rows_per_fragment: int = 1000) -> Table:
        table = super().open(name, rows_per_fragment)
        if name == A and self.flips:
            self.flips -= 1
            self.show(2 if self.at == 1 else 1)
        return table

    def show(self, version: int) -> None:
        self.at = version
        shown = {str(name): Shown(version, "") for name in (A, B)}
        fence.write(self.root, Fence("standby", 1, "north", barrier=f"{version}/{self.flips}", tables=shown))


def standby(root: Path, flips: int) -> Flipping:
    plain = Catalog(root)
    for name in (A, B):
        table = plain.create(name, SCHEMA)
        table.append([pa.RecordBatch.from_pylist([{"id": "one"}], schema=ARROW)])
    flipping = Flipping(root, flips)
    flipping.show(1)
    return flipping


def test_tables_are_of_one_barrier_however_often_it_changes_while_they_are_opened(tmp_path: Path) -> None:
    tables = standby(tmp_path, flips=5).together(A, B)
    assert [table.version for table in tables] == [2, 2]


def test_a_standby_that_never_rests_is_busy(tmp_path: Path) -> None:
    catalog = standby(tmp_path, flips=10_000)
    with pytest.raises(Busy, match="another barrier each time"):
        catalog.together(A, B)


def test_a_table_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        standby(tmp_path, flips=0).together(A, TableName("db", "s", "c"))
