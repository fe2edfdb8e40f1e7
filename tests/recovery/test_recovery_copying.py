from __future__ import annotations

import errno
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.core.progress import Progress
from isthmus.recovery import copying
from isthmus.recovery.barrier import HeldFile
from isthmus.recovery.copying import Copied, Damaged, copy_files, damages_of
from recovery_folders import filled, held
from small_disk import small_disk

PROCESS = Path(__file__).parents[1] / "recovery_copying_process.py"


def content(folder: Path) -> dict[str, bytes]:
    return {str(place.relative_to(folder)): place.read_bytes() for place in folder.rglob("*") if place.is_file()}


@pytest.mark.parametrize("threads", [1, 4])
def test_files_are_copied_byte_by_byte_with_fresh_times_and_nothing_else_is_left(
    tmp_path: Path, threads: int
) -> None:
    source = filled(tmp_path / "source", small=7, large=3)
    for place in source.rglob("*.lance"):
        os.utime(place, (1, 1))
    files = held(source)
    copied = copy_files(files, source, tmp_path / "new" / "target", threads)
    assert copied == Copied(11, sum(file.size for file in files))
    assert content(tmp_path / "new" / "target") == content(source)
    assert all(place.stat().st_mtime > 1 for place in (tmp_path / "new").rglob("*"))


def test_no_files_make_the_folder_and_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    source, target = filled(tmp_path / "source"), tmp_path / "target"
    assert copy_files([], source, target) == Copied(0, 0)
    (target / "data").mkdir(parents=True)
    (target / "data" / "1.lance").write_bytes(b"another")
    copy_files(held(source), source, target)
    assert content(target) == content(source)


def test_the_names_come_in_the_order_given_after_everything_is_on_disk(tmp_path: Path) -> None:
    source, target = filled(tmp_path / "source"), tmp_path / "target"
    files = held(source)
    seen: list[list[str]] = []

    def step(name: str) -> None:
        if name in ("synced", "named"):
            seen.append([file.path for file in files if (target / file.path).exists()])

    copy_files(files, source, target, step=step)
    assert seen == [[file.path for file in files[:number]] for number in range(len(files) + 1)]
    assert files[-1].path.startswith("_versions/")


def test_progress_counts_bytes_up_to_the_total(tmp_path: Path) -> None:
    source = filled(tmp_path / "source")
    files, told = held(source), list[Progress]()
    copy_files(files, source, tmp_path / "target", report=told.append)
    total = sum(file.size for file in files)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert (told[-1].done, told[-1].total) == (total, total) and len(told) > 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_bit_flipped_bytes_cut_off_or_put_on_or_a_file_gone_is_found_and_nothing_is_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    source, target = filled(folder / "source", large=0), folder / "target"
    files = held(source)
    file = data.draw(st.sampled_from(files))
    place = source / file.path
    before = place.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "grow", "gone"] if before else ["grow", "gone"]))
    at = data.draw(st.integers(0, max(0, len(before) - 1)))
    if kind == "flip":
        place.write_bytes(before[:at] + bytes([before[at] ^ 1 << at % 8]) + before[at + 1 :])
    elif kind == "gone":
        place.unlink()
    else:
        place.write_bytes(before[:at] if kind == "cut" else before + b"\0")
    with pytest.raises(Damaged, match=file.path) as raised:
        copy_files(files, source, target)
    assert [damage.wanted for damage in raised.value.damages] == [file]
    assert content(target) == {}
    assert damages_of(files, source) == raised.value.damages
    place.write_bytes(before)
    copy_files(files, source, target)
    assert content(target) == content(source) and damages_of(files, target) == ()


def test_all_damages_are_told_and_the_error_crosses_processes(tmp_path: Path) -> None:
    source = filled(tmp_path / "source", large=2)
    files = held(source)
    (source / files[1].path).write_bytes(b"")
    (source / files[5].path).unlink()
    (source / files[6].path).unlink()
    (source / files[6].path).mkdir()
    with pytest.raises(Damaged, match="and 2 more; repair") as raised:
        copy_files(files, source, tmp_path / "target")
    assert [damage.wanted for damage in raised.value.damages] == [files[1], files[5], files[6]]
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - made in this line
    assert again.damages == raised.value.damages and str(again) == str(raised.value)


def test_a_file_that_never_ends_is_not_read_to_its_end(tmp_path: Path) -> None:
    source = filled(tmp_path / "source")
    file = held(source)[2]
    os.truncate(source / file.path, 1 << 41)  # sparse
    with pytest.raises(Damaged, match=f"has {1 << 41} bytes, not {file.size}"):
        copy_files([file], source, tmp_path / "target")


def test_a_thousand_flipped_bits_are_all_found(tmp_path: Path) -> None:
    source = filled(tmp_path / "source", small=40, large=0)
    files = [file for file in held(source) if file.size]
    dice, found = random.Random(7), 0
    for _ in range(1000):
        file = dice.choice(files)
        at, bit = dice.randrange(file.size), 1 << dice.randrange(8)
        with (source / file.path).open("r+b") as out:
            was = out.read()[at]
            out.seek(at)
            out.write(bytes([was ^ bit]))
            out.flush()
            found += [damage.wanted for damage in damages_of([file], source, 1)] == [file]
            out.seek(at)
            out.write(bytes([was]))
    assert damages_of(files, source) == ()
    assert found == 1000
    print(f"{found} of 1000 flipped bits found")


@pytest.mark.parametrize("at", ["write", "sync", "rename", "folder"])
def test_a_disk_that_refuses_is_told_and_leaves_no_name_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    source, target = filled(tmp_path / "source"), tmp_path / "target"
    files = held(source)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "disk")

    if at == "write":
        monkeypatch.setattr(copying, "_whole", refuse)
    elif at == "sync":
        monkeypatch.setattr(os, "fsync", refuse)
    elif at == "rename":
        monkeypatch.setattr(Path, "replace", refuse)
    else:
        monkeypatch.setattr(copying, "sync_folder", refuse)
    with pytest.raises(OSError, match="Input/output"):
        copy_files(files, source, target)
    assert not list(target.rglob("*.part"))
    assert at == "folder" or content(target) == {}
    monkeypatch.undo()
    copy_files(files, source, target)
    assert content(target) == content(source)


def test_a_full_disk_is_told_and_its_room_is_given_back(tmp_path: Path) -> None:
    source = filled(tmp_path / "source", large=3)
    files = held(source)
    with small_disk(tmp_path / "disk", 2) as disk:
        target = disk.folder / "target"
        with pytest.raises(OSError, match="No space left"):
            copy_files(files, source, target)
        assert content(target) == {}
        copy_files(files[:4], source, target)


@pytest.mark.parametrize(("at", "times"), [("written", 1), ("named", 1), ("named", 4)])
def test_a_killed_copy_leaves_whole_files_in_order_and_is_made_again(tmp_path: Path, at: str, times: int) -> None:
    source, target = filled(tmp_path / "source"), tmp_path / "target"
    files = held(source)
    died = subprocess.run(
        [sys.executable, str(PROCESS), str(source), str(target), at, str(times)],
        env={**os.environ, "PYTHONPATH": str(PROCESS.parent)},
        check=False,
    )
    assert died.returncode == -9
    named = [file for file in files if (target / file.path).exists()]
    assert named == (files[:times] if at == "named" else [])
    assert damages_of(named, target) == ()
    copy_files(files, source, target)
    assert content(target) == content(source)


def test_more_files_than_one_group_are_synced_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_GROUP", 4)
    source = filled(tmp_path / "source", small=10, large=1)
    steps: list[str] = []
    copy_files(held(source), source, tmp_path / "target", step=steps.append)
    assert steps.count("written") == 3 and steps[-1] == "folders synced"
    assert content(tmp_path / "target") == content(source)


def test_a_held_file_never_leads_out_of_its_folder() -> None:
    for path in ("../data/x", "data/../../x", "/data/x", "data//x", "x"):
        with pytest.raises(ValueError, match="no path"):
            HeldFile(path, 0, bytes(32))
