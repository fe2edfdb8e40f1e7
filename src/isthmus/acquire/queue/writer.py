"""One thread that writes: calls that wait together become one transaction, and one fsync serves them all.

Each call has a savepoint, so that one that fails undoes nothing but itself. A call returns when it is durable.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from isthmus.core.errors import Busy, IsthmusError
from isthmus.state.store import Store, meaning

_TOGETHER = 64
_CHECKPOINT_ROWS, _MOST_ROWS = 5_000, 500_000
_JOURNAL_BYTES = 64 << 20

Act = Callable[[sqlite3.Connection], Any]


class Writer:
    """Runs acts in the order in which they come."""

    def __init__(self, path: Path, open_store: Callable[[], Store]) -> None:
        """Start the thread; `open_store` runs in it. Raises what that raises."""
        self._path = path
        self._waiting: queue.SimpleQueue[tuple[Act, Future[Any]] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(open_store, opened), name=f"ledger {path.name}", daemon=True
        )
        self._thread.start()
        opened.result()

    def run(self, act: Act) -> Any:
        """Run an act in a transaction; return its result when that is durable, or raise what it raised."""
        done: Future[Any] = Future()
        with self._closing:
            if self._closed:
                raise Busy(f"{self._path} is closed", "start the server again")
            self._waiting.put((act, done))
        return done.result()

    def close(self) -> None:
        """Do what waits, then end the thread."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _work(self, open_store: Callable[[], Store], opened: Future[None]) -> None:
        try:
            store = open_store()
            connection = _prepared(store)
        except BaseException as error:  # noqa: BLE001 - it goes to whoever opened the ledger
            opened.set_exception(error)
            return
        opened.set_result(None)
        with contextlib.closing(store):
            going, checked = True, connection.total_changes
            while going:
                calls, going = self._next()
                self._together(store, calls)
                checked = self._checkpoint(connection, checked)

    def _next(self) -> tuple[list[tuple[Act, Future[Any]]], bool]:
        calls: list[tuple[Act, Future[Any]]] = []
        one = self._waiting.get()
        while one is not None:
            calls.append(one)
            if len(calls) == _TOGETHER:
                return calls, True
            try:
                one = self._waiting.get_nowait()
            except queue.Empty:
                return calls, True
        return calls, False

    def _together(self, store: Store, calls: list[tuple[Act, Future[Any]]]) -> None:
        if not calls:
            return
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with store.transaction() as connection:
                if len(calls) == 1:  # the transaction is its savepoint
                    results.append((calls[0][1], calls[0][0](connection), None))
                else:
                    for act, done in calls:
                        results.append((done, *self._saved(connection, act)))
        except _Undone as undone:
            self._apart(store, calls, undone)
            return
        except BaseException as error:  # noqa: BLE001 - it goes to the callers
            if len(calls) > 1 and isinstance(error, OSError):  # what is too much together may fit one by one
                self._apart(store, calls, _Undone(error))
                return
            for _, done in calls:
                done.set_exception(error)
            return
        for done, result, wrong in results:
            if wrong is None:
                done.set_result(result)
            else:
                done.set_exception(wrong)

    def _apart(self, store: Store, calls: list[tuple[Act, Future[Any]]], undone: _Undone) -> None:
        if len(calls) == 1:
            calls[0][1].set_exception(undone.error)
            return
        for call in calls:
            self._together(store, [call])

    def _saved(self, connection: sqlite3.Connection, act: Act) -> tuple[Any, BaseException | None]:
        connection.execute("SAVEPOINT one")
        try:
            result = act(connection)
        except BaseException as error:
            known = error if isinstance(error, IsthmusError) else meaning(error, self._path) or error
            if not connection.in_transaction:  # a full disk undoes the calls before this one, too
                raise _Undone(known) from error
            connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
            return None, known
        connection.execute("RELEASE one")
        return result, None

    def _checkpoint(self, connection: sqlite3.Connection, checked: int) -> int:
        """Move the log into the file while nobody waits, or when it has grown long; `checked` rows are there."""
        changed = connection.total_changes - checked
        if changed < _CHECKPOINT_ROWS or (changed < _MOST_ROWS and not self._waiting.empty()):
            return checked
        with contextlib.suppress(sqlite3.Error):  # readers or another process are at it: next time
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return connection.total_changes


class _Undone(Exception):
    """The whole transaction is gone, for this reason."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(str(error))


def _prepared(store: Store) -> sqlite3.Connection:
    with store.transaction() as connection:
        pass
    connection.row_factory = None
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA cache_size = -32768")
    return connection
