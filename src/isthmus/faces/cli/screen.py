"""How the command line tells what goes on: bars in a terminal, JSON lines in a pipe, on the error stream."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from isthmus.core.progress import Progress

_EVERY_S = 1.0
"""JSON lines of one stage come at most this often, but its last one always comes."""
_WORTH_S = 1.0
"""A stage that counted nothing and took less leaves no line behind."""
_MILESTONE = "run "
"""A run's change of state: it ends the stages before it, and its note says what they brought."""

err = Console(stderr=True, highlight=False, markup=False, emoji=False)


@dataclass
class _Stage:
    """A stage that is shown as a bar."""

    task: TaskID
    begun: float
    last: Progress


class Screen:
    """Shows the progress of one operation.

    In a terminal: a bar for each stage that goes on, and below each other one line for each that has ended. A
    stage ends when the next begins, or a milestone comes. In a pipe: JSON lines.
    """

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._stages: dict[str, _Stage] = {}
        self._told: set[str] = set()
        self._last: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        """Show one progress."""
        if not err.is_terminal:
            self._line(progress)
        elif progress.stage.startswith(_MILESTONE):
            self._milestone(progress)
        else:
            self._bar(progress)

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stage in list(self._stages):
            self._close(stage, failed=error is not None)
        self._stop()

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Take the bars off the screen, to print something between them."""
        for stage in list(self._stages):
            self._close(stage)
        self._stop()
        self._told.clear()
        yield

    def _bar(self, progress: Progress) -> None:
        if progress.stage not in self._stages:
            for name, other in list(self._stages.items()):
                if other.last.total is None or other.last.done >= other.last.total:
                    self._close(name)
            task = self._running().add_task(progress.stage, total=progress.total, note="")
            self._stages[progress.stage] = _Stage(task, time.monotonic(), progress)
        stage = self._stages[progress.stage] = self._stages.pop(progress.stage)  # the latest comes last
        stage.last = progress
        self._running().update(
            stage.task,
            completed=progress.done,
            total=progress.total,
            note=" ".join((progress.unit, progress.note)).strip(),
        )

    def _milestone(self, progress: Progress) -> None:
        *before, last = [*self._stages] or [""]
        for name in before:
            self._close(name)
        if last:
            self._close(last, note=progress.note)
        elif progress.note:
            self._tell(progress.stage.removeprefix(_MILESTONE), progress.note, None)
        self._told.clear()

    def _close(self, name: str, note: str = "", *, failed: bool = False) -> None:
        stage = self._stages.pop(name)
        took = time.monotonic() - stage.begun
        self._running().remove_task(stage.task)
        last = stage.last
        unit = last.unit.removesuffix("s") if last.done == 1 else last.unit
        counted = f"{last.done} {unit}" if last.unit and last.done else ""
        text = note or "; ".join(part for part in (counted, last.note) if part)
        if failed:
            self._tell(name, "stopped here" + (f": {text}" if text else ""), took, "✗")
        elif (text or took >= _WORTH_S) and name not in self._told:
            self._tell(name, text, took)
        self._told.add(name)

    def _tell(self, name: str, text: str, took: float | None, mark: str = "✓") -> None:
        line = Text(f"{mark} ", "green" if mark == "✓" else "red")
        line.append(f"{name}  " if len(name) > 24 else f"{name:<24}  ").append(text, "default")
        if took is not None and took >= _WORTH_S:
            line.append(f"  {took:.0f} s", "dim")
        err.print(line, soft_wrap=True)

    def _running(self) -> Bars:
        if self._bars is None:
            self._bars = Bars(
                SpinnerColumn(),
                TextColumn("{task.description:<24}", markup=False, table_column=Column(no_wrap=True)),
                BarColumn(bar_width=12, table_column=Column(min_width=12)),
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                TimeElapsedColumn(table_column=Column(no_wrap=True)),
                TextColumn(
                    "{task.fields[note]}",
                    style="dim",
                    markup=False,
                    table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
                ),
                console=err,
                transient=True,
                expand=True,
            )
            self._bars.start()
        return self._bars

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _line(self, progress: Progress) -> None:
        now = time.monotonic()
        ended = progress.total is not None and progress.done >= progress.total
        if not ended and now - self._last.get(progress.stage, -_EVERY_S) < _EVERY_S:
            return
        self._last[progress.stage] = now
        line: dict[str, Any] = {"stage": progress.stage, "done": progress.done, "total": progress.total}
        line |= {key: value for key, value in (("unit", progress.unit), ("note", progress.note)) if value}
        print(json.dumps(line), file=sys.stderr, flush=True)


def say(text: str, *, fold: bool = False) -> None:
    """Print a line for a person; in a pipe too, but on the error stream so that results stay clean.

    With `fold` a terminal gets it in lines that end between words; without, it can be copied as it is.
    """
    err.print(Text(text), soft_wrap=not (fold and err.is_terminal))
