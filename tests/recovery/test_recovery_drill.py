from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.core.errors import Corrupt, InputError, Refused
from isthmus.recovery import copying
from isthmus.recovery.barrier import Barrier
from isthmus.recovery.drill import Drill, read_report
from isthmus.recovery.verify import sums_of
from isthmus.transfer.signing import PublicKey, SigningKey
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.checksum import RowSum, table_sum
from isthmus.warehouse.name import TableName
from isthmus.warehouse.table import Table
from recovery_folders import AT, Standing, barrier_of, two_tables
from small_disk import small_disk

FIRST, SECOND = "loop.drive.first", "loop.other.second"
KEY = SigningKey.create()
PROCESS = Path(__file__).parents[1] / "recovery_drill_process.py"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return two_tables(tmp_path_factory.mktemp("drill") / "standby")


def drill(tables: dict[str, Table], scratch: Path, **more: Any) -> Drill:
    barrier, folders = barrier_of(tables)
    return Drill(
        **{"barrier": barrier, "folders": folders, "scratch": scratch, "site": "north", "clock": Standing()} | more
    )


def test_every_table_is_restored_at_its_version_checked_timed_and_removed_again(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    barrier, folders = barrier_of(tables)
    tables[FIRST].pin("shown")
    ticks = iter([100.0, 101.5, 103.75])
    one = drill(
        tables, tmp_path / "scratch", expected=sums_of(barrier, folders, files=False), ticks=lambda: next(ticks)
    )
    report = one.run(tmp_path / "report.json", KEY)
    assert (report.outcome, report.error, report.root) == ("restored", "", "")
    assert (report.copy_s, report.check_s, report.recovery_time_s) == (1.5, 2.25, 3.75)
    assert (report.site, report.barrier, report.barrier_at, report.began) == ("north", barrier.key, AT, AT)
    assert report.files == sum(map(len, barrier.files.values()))
    assert report.bytes == sum(file.size for files in barrier.files.values() for file in files.values())
    for table in report.tables:
        assert table.sound and table.found == table.expected == table_sum(tables[table.name])
        assert table.rows == tables[table.name].count()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert read_report(tmp_path / "report.json", [KEY.public]) == report


def test_a_drill_follows_the_barrier_and_not_what_was_written_later(tmp_path: Path) -> None:
    tables = two_tables(tmp_path / "standby")
    one = drill(tables, tmp_path / "scratch")
    tables[FIRST].delete("slot = 1")
    assert one.run(tmp_path / "report.json", KEY).outcome == "restored"


def test_what_is_kept_opens_as_a_catalogue_and_is_not_swept_by_the_next_drill(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    report = drill(tables, tmp_path / "scratch", keep=True).run(tmp_path / "report.json", KEY)
    drill(tables, tmp_path / "scratch").run(tmp_path / "report.json", KEY)
    catalog = Catalog(report.root)
    assert [str(name) for name in catalog.names()] == [FIRST, SECOND]
    opened = catalog.open(TableName.parse(FIRST))
    assert (opened.version, table_sum(opened)) == (tables[FIRST].version, table_sum(tables[FIRST]))


def test_damaged_and_missing_files_are_told_and_the_other_tables_are_still_tried(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    barrier, folders = barrier_of(tables)
    identity = tables[FIRST].identity
    place = tmp_path / "damaged.lance"
    shutil.copytree(folders[identity], place)
    data = sorted(path for path in barrier.files[identity] if path.startswith("data/"))
    (place / data[0]).unlink()
    (place / data[1]).write_bytes(b"x" + (place / data[1]).read_bytes()[1:])
    report = drill(tables, tmp_path / "scratch", folders={**folders, identity: place}).run(
        tmp_path / "r.json", KEY
    )
    assert (report.outcome, report.error) == ("damaged", f"not as they should be: {FIRST}")
    first, second = sorted(report.tables, key=lambda table: table.name)
    assert len(first.damages) == 2 and first.damages[0] == f"{data[0]} is missing" and first.found is None
    assert second.sound
    assert list((tmp_path / "scratch").iterdir()) == []
    assert read_report(tmp_path / "r.json", [KEY.public]) == report


def test_rows_that_are_not_those_of_the_primary_or_of_the_barrier_are_told(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    barrier, folders = barrier_of(tables)
    expected = sums_of(barrier, folders, files=False)
    expected[FIRST] = replace(expected[FIRST], rows=RowSum(3))
    report = drill(tables, tmp_path / "scratch", expected=expected).run(tmp_path / "r.json", KEY)
    assert (report.outcome, report.error) == ("differs", f"not as they should be: {FIRST}")
    counts = {identity: replace(table, rows=table.rows + 1) for identity, table in barrier.tables.items()}
    wrong = Barrier(barrier.key, barrier.at, counts, barrier.files)
    report = drill(tables, tmp_path / "scratch", barrier=wrong).run(tmp_path / "r.json", KEY)
    assert report.outcome == "differs" and [table.sound for table in report.tables] == [False, False]


def test_a_table_that_does_not_open_or_has_no_folder_is_told(tables: dict[str, Table], tmp_path: Path) -> None:
    barrier, folders = barrier_of(tables)
    first, second = tables[FIRST].identity, tables[SECOND].identity
    short = {path: file for path, file in barrier.files[first].items() if not path.startswith("data/")}
    part = Barrier(barrier.key, barrier.at, barrier.tables, {**barrier.files, first: short})
    report = drill(tables, tmp_path / "scratch", barrier=part, folders={first: folders[first]}).run(
        tmp_path / "r.json", KEY
    )
    assert report.outcome == "differs"
    errors = {table.name: table.error for table in report.tables}
    assert "cannot be read at version" in errors[FIRST] and errors[SECOND] == "no folder is known for it"
    assert second in {table.identity for table in report.tables}


def test_a_disk_without_room_is_told_before_and_while_copying(
    tables: dict[str, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        disk.fill()
        report = drill(tables, disk.folder).run(tmp_path / "r.json", KEY)
        assert report.outcome == "no room" and "bytes and 0 are free" in report.error
        assert [file.name for file in disk.folder.iterdir()] == ["ballast"]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk")

    monkeypatch.setattr(copying, "_whole", full)
    report = drill(tables, tmp_path / "scratch").run(tmp_path / "r.json", KEY)
    assert report.outcome == "no room" and "No space left" in report.error
    assert read_report(tmp_path / "r.json", [KEY.public]) == report


def test_a_scratch_folder_that_cannot_be_made_is_told(tables: dict[str, Table], tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("a file")
    report = drill(tables, tmp_path / "scratch").run(tmp_path / "r.json", KEY)
    assert report.outcome == "failed" and "Not a directory" in report.error


def test_a_scratch_folder_in_a_table_is_refused(tables: dict[str, Table], tmp_path: Path) -> None:
    _, folders = barrier_of(tables)
    inside = folders[tables[FIRST].identity] / "data" / "scratch"
    with pytest.raises(InputError, match="lies in a table"):
        drill(tables, inside).run(tmp_path / "r.json", KEY)


@pytest.mark.parametrize("at", ["named", "copied"])
def test_a_killed_drill_is_swept_by_the_next(tables: dict[str, Table], tmp_path: Path, at: str) -> None:
    root = Path(tables[FIRST].uri.removeprefix("file://")).parents[2]
    died = subprocess.run(
        [sys.executable, str(PROCESS), str(root), str(tmp_path), at],
        env={**os.environ, "PYTHONPATH": str(PROCESS.parent)},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert not (tmp_path / "report.json").exists()
    assert drill(tables, tmp_path / "scratch").run(tmp_path / "report.json", KEY).outcome == "restored"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_only_an_unchanged_report_of_a_known_signer_is_read(tables: dict[str, Table], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = drill(tables, tmp_path / "scratch").run(path, KEY)
    text = path.read_bytes()
    assert read_report(path, [SigningKey.create().public, KEY.public]) == report
    with pytest.raises(Refused, match="signed by the key"):
        read_report(path, [SigningKey.create().public])
    with pytest.raises(InputError, match="no report of a drill"):
        read_report(tmp_path / "none.json", [KEY.public])
    whole = json.loads(text)
    for changed in (
        text.replace(b'"restored"', b'"differs"', 1),
        text.replace(b'"site":"north"', b'"site":"south"'),
        text.replace(whole["signature"][:8].encode(), b"AAAAAAAA"),
        text.replace(whole["key"].encode(), str(SigningKey.create().public).encode()),
    ):
        assert changed != text
        path.write_bytes(changed)
        with pytest.raises(Refused):
            read_report(path, [KEY.public])
    for changed in (
        b"",
        text[:-1],
        text + b" ",
        json.dumps(whole).encode(),
        text.replace(b'"site":', b'"site":"x","site":'),
        b"[]",
        b"[" * 100_000,
        b'{"report":NaN}',
    ):
        path.write_bytes(changed)
        with pytest.raises(Corrupt):
            read_report(path, [KEY.public])


def test_no_byte_of_a_report_can_be_flipped(tables: dict[str, Table], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    drill(tables, tmp_path / "scratch").run(path, KEY)
    text = path.read_bytes()
    for at in range(len(text)):
        path.write_bytes(text[:at] + bytes([text[at] ^ 1 << at % 7]) + text[at + 1 :])
        with pytest.raises((Corrupt, Refused)):
            read_report(path, [KEY.public])


def test_the_report_of_format_1_is_read() -> None:
    key = PublicKey.of_text("ed25519:R24x+ifBbt3x3vevjDc9Bpab7iv6NbCHhahm2b+qFGY=")
    report = read_report(Path(__file__).parents[1] / "golden" / "drill-v1.json", [key])
    assert (report.site, report.barrier, report.barrier_at) == ("north", "20261120_020000", AT)
    assert (report.outcome, report.files, report.bytes, report.recovery_time_s) == ("damaged", 7, 4096, 1.75)
    first, second = report.tables
    assert first.sound and first.found == first.expected == RowSum(2, (1, 2), 1)
    assert not second.sound and second.damages == ("data/x.lance is missing",)
