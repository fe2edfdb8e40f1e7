"""The works in the site's state: what was begun, by whom, and how it ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from sqlite3 import Row

from isthmus.app.works.work import ENDED, Work
from isthmus.core.errors import UnknownName
from isthmus.core.progress import Progress
from isthmus.state.store import Store

_STEPS = (
    """
    CREATE TABLE work (
        id TEXT PRIMARY KEY, operation TEXT NOT NULL, arguments TEXT NOT NULL, command TEXT NOT NULL,
        by TEXT NOT NULL, state TEXT NOT NULL, begun TEXT NOT NULL, ended TEXT, exit_code INTEGER,
        progress TEXT, said TEXT NOT NULL, error TEXT NOT NULL, files TEXT NOT NULL,
        process INTEGER, process_start TEXT
    );
    CREATE INDEX work_open ON work (state) WHERE state IN ('waiting', 'running')
    """,
    "ALTER TABLE work ADD COLUMN secret INTEGER NOT NULL DEFAULT 0",
)
_OPEN = "state IN ('waiting', 'running')"


class Ledger:
    """Keeps works. May be used from any thread: each has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path, self._own = path, threading.local()

    def add(self, work: Work, *, secret: bool = False) -> None:
        """Note a work that was asked for. `secret`: files that it leaves are not kept."""
        row = (
            work.id, work.operation, json.dumps(dict(work.arguments)), work.command, work.by, work.state,
            work.begun.isoformat(), work.said, work.error, json.dumps(work.files), secret,
        )  # fmt: skip
        with self._store().transaction() as own:
            own.execute(
                "INSERT INTO work (id, operation, arguments, command, by, state, begun, said, error, files, "
                "secret) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def run(self, id: str, process: int, process_start: str) -> None:
        """Note that a work runs, and by which process."""
        with self._store().transaction() as own:
            own.execute(
                "UPDATE work SET state = 'running', process = ?, process_start = ? WHERE id = ?",
                (process, process_start, id),
            )

    def end(self, work: Work) -> None:
        """Note how a work ended."""
        ended = work.ended.isoformat() if work.ended else None
        progress = json.dumps(asdict(work.progress)) if work.progress else None
        with self._store().transaction() as own:
            own.execute(
                "UPDATE work SET state = ?, ended = ?, exit_code = ?, progress = ?, said = ?, error = ?, "
                "files = ? WHERE id = ?",
                (
                    work.state, ended, work.exit_code, progress, work.said, work.error, json.dumps(work.files),
                    work.id,
                ),
            )  # fmt: skip

    def lose(self, at: datetime, why: str) -> list[tuple[str, int | None, str]]:
        """Note that what was open will not be ended any more; returns each one's id and process."""
        with self._store().transaction() as own:
            found = own.execute(f"SELECT id, process, process_start FROM work WHERE {_OPEN}").fetchall()
            own.execute(
                f"UPDATE work SET state = 'lost', ended = ?, error = ? WHERE {_OPEN}", (at.isoformat(), why)
            )
        return [(row["id"], row["process"], row["process_start"] or "") for row in found]

    def left_secret(self) -> list[str]:
        """List the works whose files are secrets that are still noted."""
        rows = self._store().rows("SELECT id FROM work WHERE secret AND files <> '[]'")
        return [row["id"] for row in rows]

    def get(self, id: str) -> Work:
        """Return a work. Raises UnknownName."""
        rows = self._store().rows("SELECT * FROM work WHERE id = ?", (id,))
        if not rows:
            raise UnknownName(f"there is no work {id!r}", "list them: GET /v1/works")
        return _work(rows[0])

    def latest(self, most: int, before: str = "") -> Sequence[Work]:
        """List works, newest first; with `before` those that began before that one."""
        rows = self._store().rows(
            "SELECT * FROM work WHERE ? = '' OR id < ? ORDER BY id DESC LIMIT ?", (before, before, most)
        )
        return [_work(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Count the works by state."""
        rows = self._store().rows("SELECT state, count(*) AS many FROM work GROUP BY state")
        return {row["state"]: row["many"] for row in rows}

    def forget(self, keep: int, before: datetime) -> list[str]:
        """Remove works that ended before a moment or are not among the newest `keep`; returns their ids."""
        with self._store().transaction() as own:
            ended = ", ".join(f"'{state}'" for state in ENDED)
            rows = own.execute(
                f"SELECT id FROM work WHERE state IN ({ended}) AND (ended < ? OR id NOT IN "
                "(SELECT id FROM work ORDER BY id DESC LIMIT ?))",
                (before.isoformat(), keep),
            ).fetchall()
            own.executemany("DELETE FROM work WHERE id = ?", [(row["id"],) for row in rows])
        return [row["id"] for row in rows]

    def without_files(self, ids: Iterable[str]) -> None:
        """Note that the files of works are gone."""
        with self._store().transaction() as own:
            own.executemany("UPDATE work SET files = '[]' WHERE id = ?", [(id,) for id in ids])

    def close(self) -> None:
        """Close the connection of this thread."""
        store: Store | None = getattr(self._own, "store", None)
        if store is not None:
            store.close()
            self._own.store = None

    def _store(self) -> Store:
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = Store(self._path)
            store.migrate("works", _STEPS)
            self._own.store = store
        return store


def _work(row: Row) -> Work:
    ended = datetime.fromisoformat(row["ended"]) if row["ended"] else None
    progress = Progress(**json.loads(row["progress"])) if row["progress"] else None
    work = Work(
        row["id"], row["operation"], json.loads(row["arguments"]), row["command"], row["by"], row["state"],
        datetime.fromisoformat(row["begun"]), ended,
    )  # fmt: skip
    return replace(
        work,
        exit_code=row["exit_code"],
        progress=progress,
        said=row["said"],
        error=row["error"],
        files=tuple(json.loads(row["files"])),
    )
