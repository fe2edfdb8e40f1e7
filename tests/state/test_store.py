from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isthmus.core.errors import Busy, Corrupt, InputError
from isthmus.state.files import replacing
from isthmus.state.lock import held, patiently
from isthmus.state.store import Store
from small_disk import small_disk

HOLD = textwrap.dedent("""
    import sys, pathlib
    from isthmus.state.lock import held, patiently
    with held(pathlib.Path(sys.argv[1]), "the work"):
        print("held", flush=True)
        sys.stdin.read()
""")

HALF = textwrap.dedent("""
    import sys, pathlib
    from isthmus.state.store import Store
    store = Store(pathlib.Path(sys.argv[1]))
    with store.transaction() as sql:
        sql.execute("INSERT INTO note VALUES ('half')")
        print("written", flush=True)
        sys.stdin.read()
""")


def process(code: str, path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline()
    return child


def kill(child: subprocess.Popen[str]) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def test_each_migration_is_applied_once(tmp_path: Path) -> None:
    for steps in (
        ["CREATE TABLE note (text TEXT)"],
        ["CREATE TABLE note (text TEXT)", "ALTER TABLE note ADD n INT"],
    ):
        with Store(tmp_path / "s") as store:
            store.migrate("room", steps)
            store.migrate("room", steps)
    with Store(tmp_path / "s") as store:
        assert [row["name"] for row in store.rows("PRAGMA table_info(note)")] == ["text", "n"]


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.migrate("room", ["CREATE TABLE a (b)", "CREATE TABLE c (d)"])
        with pytest.raises(InputError, match="newer release"):
            store.migrate("room", ["CREATE TABLE a (b)"])


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        with pytest.raises(sqlite3.OperationalError):
            store.migrate("room", ["CREATE TABLE a (b)", "NONSENSE"])
        assert store.rows("SELECT name FROM sqlite_master WHERE name = 'a'") == []


def test_an_error_inside_a_transaction_rolls_it_back(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.migrate("room", ["CREATE TABLE note (text TEXT)"])
        with pytest.raises(RuntimeError), store.transaction() as sql:
            sql.execute("INSERT INTO note VALUES ('half')")
            raise RuntimeError
        assert store.rows("SELECT * FROM note") == []


def test_a_process_killed_in_a_transaction_leaves_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.migrate("room", ["CREATE TABLE note (text TEXT)"])
        kill(process(HALF, tmp_path / "s"))
        assert store.rows("SELECT * FROM note") == []
        with store.transaction() as sql:
            sql.execute("INSERT INTO note VALUES ('whole')")
        assert [row["text"] for row in store.rows("SELECT * FROM note")] == ["whole"]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"not a database at all" * 100)
    with pytest.raises(Corrupt, match="is no state file"):
        Store(tmp_path / "s")


def test_a_lock_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    child = process(HOLD, tmp_path / "lock")
    with (
        pytest.raises(Busy, match=f"already under way by process {child.pid}"),
        held(tmp_path / "lock", "the work"),
    ):
        pass
    kill(child)
    with held(tmp_path / "lock", "the work"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with replacing(path) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"new, but half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_full_disk_is_said_as_such_and_the_next_transaction_goes_through(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.migrate("room", ["CREATE TABLE note (text TEXT)"])
        pages = store.rows("PRAGMA page_count")[0][0]
        store.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match="No space left"), store.transaction() as sql:
            sql.execute("INSERT INTO note VALUES (?)", ("x" * 100_000,))
        store.rows("PRAGMA max_page_count = 10000")
        with store.transaction() as sql:
            sql.execute("INSERT INTO note VALUES ('after')")
        assert [row["text"] for row in store.rows("SELECT * FROM note")] == ["after"]


def test_a_disk_that_is_full_when_a_file_is_opened_is_said_as_such(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        path = disk.folder / "s"
        Store(path).close()
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            Store(path)
        disk.empty()
        Store(path).close()


def test_a_read_only_file_is_not_called_busy(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.migrate("room", ["CREATE TABLE note (text TEXT)"])
        store.rows("PRAGMA query_only = 1")
        with pytest.raises(OSError, match="Read-only file system"), store.transaction() as sql:
            sql.execute("INSERT INTO note VALUES ('x')")


def test_a_place_that_cannot_hold_a_file_is_not_called_corrupt(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(OSError, match="Permission denied"):
        Store(tmp_path / "s")


def test_patience_ends_when_the_lock_is_free_and_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    tries: list[int] = []
    told: list[str] = []
    pauses: list[float] = []

    def third_time() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise Busy("the table is being written")
        return "done"

    assert patiently(third_time, lambda busy: told.append(str(busy)), pause=pauses.append) == "done"
    assert (told, len(pauses)) == (["the table is being written"], 2)
    tries.clear()

    def never() -> None:
        raise Busy("for ever")

    pauses.clear()
    with pytest.raises(Busy, match="for ever"):
        patiently(never, for_s=60, pause=pauses.append)
    assert 60 <= sum(pauses) < 63


def test_all_who_open_a_new_file_at_once_get_it(tmp_path: Path) -> None:
    for number in range(40):
        gate = threading.Barrier(6)

        def opened(path: Path = tmp_path / str(number), gate: threading.Barrier = gate) -> bool:
            gate.wait()
            with Store(path) as store:
                store.migrate("room", ["CREATE TABLE note (text TEXT)"])
                return store.rows("PRAGMA journal_mode")[0][0] == "wal"

        with ThreadPoolExecutor(6) as pool:
            assert all(done.result() for done in [pool.submit(opened) for _ in range(6)])


def test_a_new_file_its_log_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        with Store(tmp_path / "new" / "s") as store:
            store.migrate("room", ["CREATE TABLE note (text TEXT)"])
            modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    finally:
        os.umask(mask)
    assert modes == {"s": 0o600, "s-wal": 0o600, "s-shm": 0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    Store(tmp_path / "s").close()
    (tmp_path / "s").chmod(0o640)
    Store(tmp_path / "s").close()
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o640


def test_who_opens_a_file_without_new_migrations_waits_for_no_writer(tmp_path: Path) -> None:
    steps = ["CREATE TABLE note (text TEXT)"]
    with Store(tmp_path / "s") as writer, Store(tmp_path / "s") as reader:
        writer.migrate("room", steps)
        reader.rows("PRAGMA busy_timeout = 0")
        with writer.transaction():
            reader.migrate("room", steps)
            assert reader.rows("SELECT * FROM note") == []
