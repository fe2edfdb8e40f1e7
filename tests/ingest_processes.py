"""What the tests of the ingest run in processes of their own, all at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loop.ingest.scripted import record
from loop.ingest.test_run import DAY, NEXT, Bench


def ingest(root: str, name: str, gate: Any, said: Any) -> None:
    """Bring two days of a source in, the first of them twice, from the moment that all are there."""
    gate.wait()
    try:
        bench = Bench(Path(root))
        counts = [
            bench.bring({day: {"one": [record("a"), record("b")]}}, day, name).scenes for day in (DAY, NEXT, DAY)
        ]
        said.put((name, counts))
    except Exception as error:  # noqa: BLE001 - the test says it
        said.put((name, repr(error)))


def ask(root: str, gate: Any, said: Any) -> None:
    """Ask how many scenes there are, again and again."""
    gate.wait()
    try:
        bench, seen = Bench(Path(root)), []
        for _ in range(15):
            bench.tables.level_unless_busy()
            seen.append(bench.tables.olap.query("SELECT count(*) AS n FROM scenes")["n"][0].as_py())
        said.put(("ask", seen))
    except Exception as error:  # noqa: BLE001 - the test says it
        said.put(("ask", repr(error)))
