"""Tables: readable in a terminal of any width, exact in a pipe."""

from __future__ import annotations

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from isthmus.faces.cli import tables


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 80 columns without colours is sent."""
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, width=80, no_color=True, markup=False, color_system=None)
    monkeypatch.setattr(tables, "out", console)
    return sink


def test_a_table_that_fits_is_one_line_a_row(terminal: io.StringIO) -> None:
    tables.table(("source", "scenes"), [("highway", 6), ("ngsim", 2207)])
    assert [line.split() for line in terminal.getvalue().splitlines()] == [
        ["source", "scenes"],
        ["highway", "6"],
        ["ngsim", "2207"],
    ]


def test_a_long_text_is_folded_and_names_stay_whole(terminal: io.StringIO) -> None:
    about = "the ego follows the vehicle ahead " * 5
    tables.table(("rule", "about"), [("tailgating_at_speed", about)])
    lines = terminal.getvalue().splitlines()
    assert len(lines) > 3
    assert lines[1].startswith("tailgating_at_speed  the ego")
    assert all(cell_len(line) <= 80 for line in lines)


def test_many_figures_of_few_groups_are_turned_round(terminal: io.StringIO) -> None:
    columns = ("source", *(f"rule:some_long_rule_{n}" for n in range(12)))
    tables.table(columns, [("ngsim", *[0.25] * 12), ("highway", *[0.5] * 12)])
    lines = [line.split() for line in terminal.getvalue().splitlines()]
    assert lines[0] == ["source", "ngsim", "highway"]
    assert lines[12] == ["rule:some_long_rule_11", "0.25", "0.5"]


def test_many_figures_of_many_groups_come_in_strips_that_each_name_the_group(terminal: io.StringIO) -> None:
    columns = ("tag", *(f"rule:some_long_rule_{n}" for n in range(7)))
    tables.table(columns, [(f"tag{row}", *[0.5] * 7) for row in range(15)])
    lines = [line.split() for line in terminal.getvalue().splitlines()]
    assert [line[0] for line in lines] == ["tag", *(f"tag{row}" for row in range(15))] * 3
    assert [len(line) for line in lines[::16]] == [4, 4, 2]


def test_too_wide_a_row_becomes_a_block_with_one_field_a_line(terminal: io.StringIO) -> None:
    columns = [f"field_{n}" for n in range(30)]
    tables.table(columns, [[f"{'x' * 50}{n}" for n in range(30)] for _ in range(13)])
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "row 1"
    assert lines[1].split() == ["field_0", "x" * 50 + "0"]
    assert len(lines) == 13 * 31


def test_the_beginning_of_a_long_result_is_shown(terminal: io.StringIO) -> None:
    assert tables.table(("n",), [(n,) for n in range(1000)], cut=True) == 40
    assert tables.table(("n",), [(n,) for n in range(1000)]) == 1000


def test_brackets_and_colons_in_values_are_no_markup(terminal: io.StringIO) -> None:
    tables.table(("text",), [("[/fix] :smile: [red]x",)])
    assert "[/fix] :smile: [red]x" in terminal.getvalue()


def test_a_pipe_gets_values_in_full_on_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    tables.table(("a", "b", "c"), [(0.1234567890123, "x\ty\nz", None), ([1.5, 2.0], True, "")])
    assert capsys.readouterr().out == "a\tb\tc\n0.1234567890123\tx\\ty\\nz\t\n[1.5, 2.0]\ttrue\t\n"


@given(st.lists(st.tuples(st.text(max_size=30), st.integers() | st.none(), st.floats()), max_size=5))
@example([("", -(10**34), 1e27)])  # too wide for a strip beside the name of its row
def test_no_value_breaks_a_table(rows: list[tuple[object, ...]]) -> None:
    sink, before = io.StringIO(), tables.out
    tables.out = Console(file=sink, force_terminal=True, width=40, color_system=None, markup=False)
    try:
        assert tables.table(("text", "number", "figure"), rows) == len(rows)
    finally:
        tables.out = before
    assert "text" in sink.getvalue()


def test_pairs_are_aligned_and_folded_below_each_other(terminal: io.StringIO) -> None:
    tables.aligned([("first run", "word " * 30), ("champion", "there")])
    lines = terminal.getvalue().splitlines()
    assert lines[0].startswith("first run  word")
    assert lines[1].startswith("           word")
    assert lines[-1] == "champion   there"
    assert all(cell_len(line.rstrip()) <= 80 for line in lines)
