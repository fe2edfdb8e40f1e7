"""The thread that writes images, and the lock of the transaction that they belong to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gallery_making import sqlite_set
from isthmus.core.digest import new_key
from isthmus.core.errors import Busy
from isthmus.gallery.store.files import ImageFiles
from isthmus.state.store import Store


class LostError(Exception):
    """What ends a transaction here."""


def test_what_a_lost_transaction_still_writes_is_written_before_its_lock_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = sqlite_set(tmp_path)
    with held.changing() as change:
        change.begin_stream(new_key())
    ending, free = threading.Event(), []
    write = ImageFiles._write

    def slow(files: ImageFiles, part: list[tuple[bytes, bytes]]) -> None:
        assert ending.wait(10)
        with Store(held.store.path) as other:
            other.rows("PRAGMA busy_timeout = 200")
            try:
                with other.transaction():
                    free.append(True)
            except Busy:
                free.append(False)
        write(files, part)

    monkeypatch.setattr(ImageFiles, "_write", slow)
    with pytest.raises(LostError), held.changing():
        held.files.place(b"\1" * 32, bytes(2 * 1024 * 1024))  # as large as a part: it goes to the thread
        ending.set()
        raise LostError
    assert free == [False]
    with held.changing() as change:
        change.create("faces.staff")
    held.close()
