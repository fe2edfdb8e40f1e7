"""Progress: a line for each stage that ended in a terminal, JSON lines in a pipe."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from isthmus.core.progress import Progress
from isthmus.faces.cli import screen
from isthmus.faces.cli.screen import Screen


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    monkeypatch.setattr(screen, "err", console)
    return sink


def ended(terminal: io.StringIO) -> list[str]:
    """The lines that stay on the screen."""
    lines = [line.rsplit("\x1b[2K", 1)[-1].strip() for line in terminal.getvalue().splitlines()]
    return [" ".join(line.split()) for line in lines if line.startswith(("✓", "✗"))]


def test_each_stage_leaves_one_line_and_a_milestone_says_what_came_of_it(terminal: io.StringIO) -> None:
    with Screen() as show:
        show(Progress("select", 0, None, "scenes"))
        show(Progress("run exporting", 1, 1, note="424 of 2228 scenes"))
        for epoch in range(1, 4):
            show(Progress("train", epoch, 3, "epochs", f"ADE {epoch} m"))
        show(Progress("run evaluating", 1, 1, note="epoch 3 is best"))
    assert ended(terminal) == ["✓ select 424 of 2228 scenes", "✓ train epoch 3 is best"]


def test_a_stage_within_another_leaves_one_line_however_often_it_comes(terminal: io.StringIO) -> None:
    with Screen() as show:
        for trial in range(1, 4):
            show(Progress("train", 1, 2, "epochs"))
            show(Progress("train", 2, 2, "epochs"))
            show(Progress("tune", trial, 3, "trials"))
        show(Progress("run evaluating", 1, 1, note="better parameters found"))
    assert ended(terminal) == ["✓ train 2 epochs", "✓ tune better parameters found"]


def test_a_quick_stage_that_counted_nothing_leaves_no_line(terminal: io.StringIO) -> None:
    with Screen() as show:
        show(Progress("level the OLAP", 0))
    assert ended(terminal) == []


def test_an_operation_without_progress_writes_nothing(terminal: io.StringIO) -> None:
    with Screen():
        pass
    assert terminal.getvalue() == ""


def test_the_stage_that_an_error_ended_is_marked(terminal: io.StringIO) -> None:
    with pytest.raises(ValueError, match="broken"), Screen() as show:
        show(Progress("ingest cars", 1, 4, "units"))
        raise ValueError("broken")
    assert ended(terminal) == ["✗ ingest cars stopped here: 1 unit"]


def test_a_pipe_gets_the_first_and_the_last_progress_of_a_stage_as_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Screen() as show:
        for count in range(1001):
            show(Progress("read", count, 1000, "units"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (lines[0]["done"], lines[-1]["done"]) == (0, 1000)
    assert len(lines) < 100
