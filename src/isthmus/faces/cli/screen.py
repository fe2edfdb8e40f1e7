"""How the command line shows things: bars and tables in a terminal, JSON lines and plain text in a pipe."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import rich.box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from isthmus.core.progress import Progress

_EVERY_S = 1.0
"""JSON lines of one stage come at most this often, but its last one always comes."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Screen:
    """Shows the progress of one operation: a bar a stage in a terminal, JSON lines otherwise."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, float] = {}
        if err.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description:<24}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", style="dim"),
                TimeElapsedColumn(),
                console=err,
            )

    def __call__(self, progress: Progress) -> None:
        """Show one progress."""
        if self._bars is None:
            self._line(progress)
            return
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, total=progress.total, note="")
        note = progress.note or progress.unit
        self._bars.update(
            self._tasks[progress.stage], completed=progress.done, total=progress.total, note=note, refresh=False
        )

    def _line(self, progress: Progress) -> None:
        now = time.monotonic()
        ended = progress.total is not None and progress.done >= progress.total
        if not ended and now - self._last.get(progress.stage, -_EVERY_S) < _EVERY_S:
            return
        self._last[progress.stage] = now
        line: dict[str, Any] = {"stage": progress.stage, "done": progress.done, "total": progress.total}
        line |= {key: value for key, value in (("unit", progress.unit), ("note", progress.note)) if value}
        print(json.dumps(line), file=sys.stderr, flush=True)

    def __enter__(self) -> Screen:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table: boxed in a terminal, tab-separated with a header line in a pipe."""
    if not out.is_terminal:
        for row in (columns, *rows):
            print("\t".join(cell(value) for value in row))
        return
    shown = Table(
        title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False
    )
    body = [list(row) for row in rows]
    for number, name in enumerate(columns):
        numeric = bool(body) and all(isinstance(row[number], (int, float)) or row[number] is None for row in body)
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        shown.add_row(*(cell(value) for value in row))
    out.print(shown)


def cell(value: Any) -> str:
    """Write one value of a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(cell(item) for item in value) + "]"
    return str(value)


def say(text: str) -> None:
    """Print a line for a person; in a pipe too, but on the error stream so that results stay clean."""
    err.print(text, markup=False, soft_wrap=True)
