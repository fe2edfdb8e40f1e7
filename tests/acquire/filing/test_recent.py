from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.filing.recent import LEAST, Recent, let_go


def test_the_files_that_came_last_stay_and_the_others_go_in_their_order() -> None:
    gone: list[str] = []
    recent = Recent(3 * LEAST, gone.append)
    for number in range(3):
        recent.add(f"{number}", LEAST)
    assert gone == []
    recent.add("3", LEAST)
    assert gone == ["0"]
    recent.add("4", 2 * LEAST)
    assert gone == ["0", "1", "2"]


def test_a_file_larger_than_all_that_is_kept_goes_at_once() -> None:
    gone: list[str] = []
    recent = Recent(3 * LEAST, gone.append)
    recent.add("small", LEAST)
    recent.add("large", 4 * LEAST)
    assert gone == ["small", "large"]


def test_small_files_are_left_alone() -> None:
    gone: list[str] = []
    recent = Recent(0, gone.append)
    recent.add("small", LEAST - 1)
    recent.add("large", LEAST)
    assert gone == ["large"]


@given(st.lists(st.integers(0, 10 * LEAST), max_size=40))
def test_what_stays_is_never_more_than_is_kept_and_never_less_than_fits(sizes: list[int]) -> None:
    gone: list[str] = []
    recent = Recent(8 * LEAST, gone.append)
    for number, size in enumerate(sizes):
        recent.add(str(number), size)
    minded = [(number, size) for number, size in enumerate(sizes) if size >= LEAST]
    assert gone == [str(number) for number, _ in minded[: len(gone)]]
    stay = minded[len(gone) :]
    assert sum(size for _, size in stay) <= 8 * LEAST
    if gone:
        assert sum(size for _, size in stay) + minded[len(gone) - 1][1] > 8 * LEAST


def test_a_file_that_was_removed_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    recent = Recent(LEAST)
    recent.add(str(tmp_path / "removed"), LEAST)
    (tmp_path / "there").write_bytes(bytes(LEAST))
    recent.add(str(tmp_path / "there"), LEAST)
    assert (tmp_path / "there").read_bytes() == bytes(LEAST)


def test_pages_of_a_file_that_was_let_go_are_not_in_memory_and_its_bytes_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "content"
    with path.open("wb") as file:
        file.write(bytes(range(256)) * 1024)
        file.flush()
        os.fsync(file.fileno())
    if _kind(path) in ("tmpfs", "ramfs"):
        pytest.skip(f"{tmp_path} keeps its files in memory: give --basetemp on a disk")
    assert _resident(path) == 256 * 1024
    let_go(str(path))
    assert _resident(path) == 0
    assert path.read_bytes() == bytes(range(256)) * 1024


def _kind(path: Path) -> str:
    """Return the kind of file system that a file lies on."""
    return subprocess.run(
        ["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True
    ).stdout.strip()


def _resident(path: Path) -> int:
    """Return how many bytes of a file lie in the page cache."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        told = (ctypes.c_ubyte * pages)()
        first = ctypes.c_char.from_buffer(mapped)
        libc = ctypes.CDLL(None, use_errno=True)
        at = ctypes.c_void_p(ctypes.addressof(first))
        failed = libc.mincore(at, ctypes.c_size_t(len(mapped)), told)
        del first
        assert not failed, os.strerror(ctypes.get_errno())
        return sum(one & 1 for one in told) * mmap.PAGESIZE
