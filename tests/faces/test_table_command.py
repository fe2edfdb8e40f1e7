"""`isthmus table`: every command, what it says, and what it refuses in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.app.site import Site
from isthmus.faces.cli.main import run
from isthmus.recovery import eligibility
from isthmus.warehouse import fence
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence, Shown
from isthmus.warehouse.grants import Grants
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import FieldType

TOML = '[site]\nname = "north"\n[warehouse]\nroot = "warehouse"\n'
DRIVES = TableName("main", "loop", "drives")


class Tables:
    """A site, and what its command line says."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        folder.mkdir(parents=True)
        (folder / "isthmus.toml").write_text(TOML)
        self.folder, self._capfd = folder, capfd
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        self._capfd.readouterr()
        code = run(["--site", str(self.folder), "table", *words])
        self.out, self.err = self._capfd.readouterr()
        return code

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.folder / "warehouse")

    def refused(self, words: str, *command: str, code: int = 2) -> None:
        assert self(*command) == code
        (line,) = self.err.splitlines()[-1:]
        assert line.startswith("isthmus: ") and words in line


@pytest.fixture
def tables(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Tables:
    made = Tables(tmp_path / "site", capfd)
    assert made("create", "drives", "id:string", "speed:float", "tags:strings", "v:vector[3]", "--key", "id") == 0
    return made


def test_a_table_is_made_listed_and_shown(tables: Tables) -> None:
    assert tables("list") == 0
    assert tables.out.splitlines()[1] == "main.loop.drives\t0\t4\t1\town"
    assert (
        tables("create", "drives", "id:string", "speed:float", "tags:strings", "v:vector[3]", "--key", "id") == 0
    )
    assert tables("create", "other.drives", "id:int", "whole:complex", "--key", "id", "--compression", "none") == 0
    assert tables.catalog.names() == [DRIVES, TableName("main", "other", "drives")]
    for name in ("drives", "loop.drives", "main.loop.drives"):
        assert tables("show", name) == 0
        lines = tables.out.splitlines()
        assert lines[1].startswith("id (key)\tstring\tfalse\t") and "v\tvector[3]\ttrue\t\t\t" in lines
        assert "writing\tallowed" in lines and "rows\t0" in lines


def test_an_empty_warehouse_says_how_a_table_is_made(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = Tables(tmp_path / "site", capfd)
    assert made("list") == 0 and "isthmus table create NAME" in made.err


def test_columns_are_dropped_renamed_retyped_and_added_by_one_command(tables: Tables) -> None:
    words = ["--add-column", "lane:int", "--drop-column", "v", "--rename-column", "speed=pace"]
    assert tables("alter", "drives", *words, "--retype-column", "tags:ints") == 0
    schema = tables.catalog.open(DRIVES).schema
    assert schema.names == ("id", "pace", "tags", "lane")
    assert schema["tags"].type is FieldType.INTS and schema["lane"].type is FieldType.INT
    said = [line.removeprefix("main.loop.drives: ") for line in tables.err.splitlines()]
    assert said == ["dropped v", "renamed speed to pace", "tags is ints now", "added lane"]


def test_wrong_words_are_told_before_anything_is_changed(tables: Tables) -> None:
    version = tables.catalog.open(DRIVES).version
    tables.refused("is not NAME:TYPE", "alter", "drives", "--drop-column", "v", "--retype-column", "speed")
    tables.refused("did you mean 'float'", "alter", "drives", "--drop-column", "v", "--add-column", "a:flot")
    tables.refused("is not NAME=VALUE", "alter", "drives", "--drop-column", "v", "--rename-column", "speed")
    tables.refused("nothing is to be changed", "alter", "drives")
    tables.refused("a vector has its length", "create", "new", "id:string", "v:vector", "--key", "id")
    tables.refused("did you mean 'id'", "create", "new", "id:string", "--key", "idd")
    tables.refused("two columns 'a'", "create", "new", "id:string", "a:int", "A:int", "--key", "id")
    tables.refused("no key", "create", "new", "id:complex", "--key", "id")
    tables.refused("two complex columns", "create", "new", "id:int", "a:complex", "b:complex", "--key", "id")
    tables.refused("no column; write NAME:TYPE", "create", "new", "id", "--key", "id")
    tables.refused("did you mean 'main.loop.drives'", "show", "drive")
    tables.refused("no table name part", "show", "Drives")
    tables.refused("write database.schema.table", "show", "a.b.c.d")
    assert tables.catalog.open(DRIVES).version == version and tables.catalog.names() == [DRIVES]


def test_a_renamed_table_keeps_its_rights_and_a_dropped_one_loses_them(tables: Tables) -> None:
    assert tables("grant", "drives", "anna", "select") == 0 and "anna holds select" in tables.err
    assert tables("grant", "drives", "anna", "select") == 0 and "already" in tables.err
    assert tables("rename", "drives", "trips") == 0
    grants = Grants(Site.open(tables.folder / "isthmus.toml").store)
    assert grants.of("main.loop.trips") == (("anna", "select"),) and not grants.of("main.loop.drives")
    assert tables("show", "trips") == 0 and "rights of anna\tselect" in tables.out
    assert tables("revoke", "trips", "ben", "all") == 0 and "did not hold" in tables.err
    tables.refused("is no user", "grant", "trips", "a b", "all")
    tables.refused("unknown table", "grant", "drives", "anna", "all")
    assert tables("drop", "trips", "--yes") == 0
    assert tables.catalog.names() == [] and not grants.of("main.loop.trips")


def test_a_drop_asks_first(tables: Tables) -> None:
    words = [sys.executable, "-m", "isthmus", "--site", str(tables.folder), "table", "drop", "drives"]
    done = subprocess.run(words, input="n\n", capture_output=True, text=True, check=False)
    assert done.returncode == 130 and "has 0 rows; remove it" in done.stderr
    assert tables.catalog.names() == [DRIVES]
    subprocess.run(words, input="y\n", capture_output=True, text=True, check=True)
    assert tables.catalog.names() == []


def test_an_index_is_made_and_taken_away_and_a_table_is_compacted(tables: Tables) -> None:
    assert tables("index", "drives", "speed") == 0 and "btree on speed" in tables.err
    assert tables("show", "drives") == 0 and "speed\tfloat\ttrue\t\tbtree\t" in tables.out
    tables.refused("exclude each other", "index", "drives", "speed", "--kind", "btree", "--drop")
    assert tables("index", "drives", "speed", "--drop") == 0
    tables.refused("no index on 'speed'", "index", "drives", "speed", "--drop")
    assert tables("compact", "drives", "--keep-days", "1") == 0 and "MB freed" in tables.out


def test_a_table_is_opted_into_recovery_and_out_again(tables: Tables) -> None:
    def opted() -> list[str]:
        rows = eligibility.opted(Site.open(tables.folder / "isthmus.toml").store)
        return [row.distribution for row in rows.values()]

    assert tables("alter", "drives", "--disaster-recovery", "on") == 0 and opted() == ["hash(id)"]
    assert tables("alter", "drives", "--distribution", "replicated") == 0 and opted() == ["replicated"]
    tables.refused("is no distribution", "alter", "drives", "--distribution", "random")
    tables.refused("--distribution is for", "alter", "drives", "--disaster-recovery", "off", "--distribution", "x")
    tables.refused("unknown table", "alter", "drive", "--disaster-recovery", "on")
    assert tables("alter", "drives", "--disaster-recovery", "off") == 0 and opted() == []
    assert tables("alter", "drives", "--disaster-recovery", "off") == 0 and "anyway" in tables.err


def test_a_replica_is_shown_as_one_and_every_change_of_it_is_refused(tables: Tables) -> None:
    assert tables("create", "mine", "id:string", "--key", "id") == 0
    state = Fence("standby", 1, "north", barrier="20261120_120000", tables={str(DRIVES): Shown(1, "00" * 32)})
    fence.write(tables.folder / "warehouse", state)
    assert tables("list") == 0
    assert tables.out.splitlines()[1:] == [
        "main.loop.drives\t0\t4\t1\treplica of north at 20261120_120000",
        "main.loop.mine\t0\t1\t1\town",
    ]
    assert tables("show", "drives") == 0
    assert "writing\trefused: the table main.loop.drives is replicated from north" in tables.out
    for words in (
        ("alter", "drives", "--drop-column", "v"),
        ("rename", "drives", "trips"),
        ("rename", "mine", "drives"),
        ("drop", "drives", "--yes"),
        ("index", "drives", "speed"),
        ("compact", "drives"),
        ("grant", "drives", "anna", "all"),
        ("revoke", "drives", "anna", "all"),
    ):
        tables.refused("replicated from north and read-only here; write there", *words, code=6)
    for words in (("grant", "mine", "anna", "all"), ("compact", "mine"), ("drop", "mine", "--yes")):
        assert tables(*words) == 0


def test_the_tables_that_the_site_itself_fills_keep_their_names_and_columns(tables: Tables) -> None:
    assert Site.open(tables.folder / "isthmus.toml").tables.scenes.count() == 0
    words = "that the site itself fills"
    tables.refused(words, "alter", "scenes", "--drop-column", "tags")
    tables.refused(words, "rename", "scenes", "other")
    tables.refused(words, "rename", "drives", "acquire.images")
    assert tables("index", "scenes", "day") == 0


def test_a_table_that_cannot_be_read_does_not_hide_the_others(tables: Tables) -> None:
    assert tables("create", "broken", "id:string", "--key", "id") == 0
    (manifest,) = (tables.folder / "warehouse/main/loop/broken.lance/_versions").glob("*.manifest")
    manifest.write_bytes(b"nothing")
    assert tables("list") == 0
    first, second = tables.out.splitlines()[1:]
    assert "unreadable" in first and second.endswith("\town")
