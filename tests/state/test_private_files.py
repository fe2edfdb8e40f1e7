from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isthmus.state.files import write_private


def test_a_private_file_is_its_owners_alone_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "keys" / "a", b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys" / "a").stat().st_mode) == 0o600
    assert (tmp_path / "keys" / "a").read_bytes() == b"secret"


def test_a_private_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    write_private(tmp_path / "a", b"first")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "a", b"second")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"first")]


def test_of_many_who_write_a_private_file_one_does(tmp_path: Path) -> None:
    def write(number: int) -> bool:
        try:
            write_private(tmp_path / "a", b"%d" % number * 1000)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(write, range(8)))
    assert sum(wrote) == 1
    assert (tmp_path / "a").read_bytes() == b"%d" % wrote.index(True) * 1000
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
