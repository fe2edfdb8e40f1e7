"""Other tables of the warehouse beside the scenes: asked in SQL, mined by a filter, exported."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from isthmus.app.maintenance import tidy
from isthmus.app.mining import MineAsk, mine_site, with_fields
from isthmus.app.site import IMAGES, Site
from isthmus.core.errors import InputError, UnknownName
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.lookup import take
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table
from traffic import write_site

PHOTOS = Schema(
    key="image_id",
    fields=(
        Field("image_id", FieldType.STRING, "names the image", nullable=False),
        Field("place", FieldType.STRING, "where it was taken"),
        Field("width", FieldType.INT, "pixels"),
    ),
)
ROWS = [
    {"image_id": "a", "place": "se-lund", "width": 640},
    {"image_id": "b", "place": "de-berlin", "width": 4000},
    {"image_id": "c", "place": "se-lund", "width": 4000},
]


def photos(site: Site) -> Table:
    root = site.config.folder / site.config.warehouse.root
    table = Catalog(root).create(TableName.parse(f"{site.config.warehouse.database}.{IMAGES}"), PHOTOS)
    table.append([pa.RecordBatch.from_pylist(ROWS)])
    return table


@pytest.fixture
def site(tmp_path: Path) -> Site:
    write_site(tmp_path)
    return Site.open(tmp_path / "isthmus.toml")


def test_a_table_beside_the_scenes_is_asked_in_sql_once_it_is_there(site: Site) -> None:
    site.tables.level()
    assert set(site.tables.olap.positions()) == {"scenes", "rejects"}
    photos(site)
    site.tables.level()
    found = site.tables.olap.query("SELECT place, count(*) AS n FROM acquire.images GROUP BY place ORDER BY place")
    assert found.to_pylist() == [{"place": "de-berlin", "n": 1}, {"place": "se-lund", "n": 2}]
    site.tables.rebuild()
    assert site.tables.olap.query("SELECT count(*) AS n FROM acquire.images")["n"].to_pylist() == [3]


def test_rows_of_another_table_are_mined_by_a_filter_into_a_list_that_finds_them_again(
    site: Site, tmp_path: Path
) -> None:
    table = photos(site)
    out = tmp_path / "list.parquet"
    found = mine_site(site, MineAsk(where="place == 'se-lund' and width > 1000", table=IMAGES, out=str(out)))
    assert (found.rows["id"].to_pylist(), found.considered, found.fields) == (["c"], 1, ("place", "width"))
    assert with_fields(site, found, 5, IMAGES).to_pylist() == [{"id": "c", "place": "se-lund", "width": 4000}]
    again = pa.Table.from_batches(take(table, IdList.read(str(out))))
    assert again.to_pylist() == [ROWS[2]]


def test_what_speaks_of_scenes_is_refused_for_another_table(site: Site) -> None:
    photos(site)
    for ask in (MineAsk("cut_in", table=IMAGES), MineAsk(like="a", table=IMAGES)):
        with pytest.raises(InputError, match=r"find rows of acquire\.images by --where"):
            mine_site(site, ask)
    with pytest.raises(UnknownName, match=r"did you mean 'width'"):
        mine_site(site, MineAsk(where="widht > 3", table=IMAGES))
    with pytest.raises(UnknownName, match=r"did you mean 'acquire\.images'"):
        mine_site(site, MineAsk(where="width > 3", table="acquire.image"))


def test_the_tables_beside_the_scenes_are_tidied_too(site: Site) -> None:
    table = photos(site)
    for number in range(3):
        rows = [row | {"image_id": f"{row['image_id']}{number}"} for row in ROWS]
        table.append([pa.RecordBatch.from_pylist(rows)])
    done = {found.what: found for found in tidy(site)}
    assert {f"data files of {name}" for name in ("scenes", "rejects", IMAGES)} <= done.keys()
    assert (done[f"data files of {IMAGES}"].before, done[f"data files of {IMAGES}"].after) == (4, 1)
    found = site.tables.olap.query(f"SELECT count(*) AS n FROM {IMAGES}")
    assert found["n"][0].as_py() == 4 * len(ROWS)
