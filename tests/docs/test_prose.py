"""Every command in the sentences, tables and lists of the pages is run by a test, or told why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages import name_of
from prose import NO_COMMANDS, SHORT, SPEAKING, commands_of, in_block, spoken
from prose_told import OUTSIDE, TRIED, WHERE, outside, tried

TESTS = Path(__file__).parents[1]
COMMANDS = {one.command for one in spoken()}


def test_every_command_in_prose_is_run_by_a_test_or_told_of() -> None:
    lost = [
        str(one)
        for one in spoken()
        if not in_block(one.command) and not tried(one.command) and not outside(one.command)
    ]
    assert not lost, f"no followed block has them, TRIED has no world for them, OUTSIDE no reason: {lost}"


def test_what_is_said_of_commands_in_prose_is_said_of_some_that_stand_there() -> None:
    told = {command for commands in TRIED.values() for command in commands}
    assert not told - COMMANDS, f"no page speaks of them any more: {sorted(told - COMMANDS)}"
    used = {reason for command in COMMANDS if (reason := outside(command)) and not tried(command)}
    unused = [begins for begins, reason in OUTSIDE.items() if reason not in used]
    assert not unused, f"no page speaks of them any more: {unused}"
    spans = {(one.page, one.text) for one in spoken()}
    assert set(SHORT) <= spans, f"no page says them any more: {sorted(set(SHORT) - spans)}"
    for page, span in NO_COMMANDS:
        (path,) = (path for path in SPEAKING if name_of(path) == page)
        assert f"`{span}`" in path.read_text(), f"{page} says {span} no more"


def test_a_command_that_is_not_run_is_in_no_block_and_no_world() -> None:
    both = [command for command in COMMANDS if outside(command) and (in_block(command) or tried(command))]
    assert not both, f"they are run, and OUTSIDE says why not: {both}"
    twice = [command for command in COMMANDS if in_block(command) and tried(command)]
    assert not twice, f"a page's block has them: TRIED need not: {twice}"


@pytest.mark.parametrize("command", sorted(command for command in COMMANDS if outside(command)))
def test_a_command_that_is_not_run_here_is_proven_otherwise(command: str) -> None:
    reason = outside(command)
    assert reason and reason.why
    reason.proof(command)


@pytest.mark.parametrize("world", TRIED)
def test_every_world_is_made_by_a_test(world: str) -> None:
    assert set(TRIED) == set(WHERE)
    assert f'trying("{world}", ' in (TESTS / WHERE[world]).read_text()


def test_a_command_that_nobody_runs_is_named_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "new.md"
    page.write_text(
        "# New\n\n```\nisthmus gate dismiss x\n```\n\n"
        "Type `isthmus gate\ndismiss --every` or `gate dismiss --new`;\n"
        "`docker ps` shows it, `. x/y` too. `publish model` and `isthmus` are none.\n"
    )
    found = list(commands_of("new.md", page))
    assert [str(one) for one in found] == [
        "new.md:7 `isthmus gate dismiss --every`",
        "new.md:8 `gate dismiss --new`",
        "new.md:9 `docker ps`",
        "new.md:9 `. x/y`",
    ]
    assert found[1].command == "isthmus gate dismiss --new"
    assert not any(in_block(one.command) or tried(one.command) or outside(one.command) for one in found)


def test_spans_of_every_kind_are_found() -> None:
    found = {(one.page, one.text, one.command) for one in spoken()}
    assert {
        ("gate.md", "isthmus gate request", "isthmus gate request"),
        ("operate.md", "gate send --watch", "isthmus gate send --watch"),
        ("acquire.md", "environment list", "isthmus acquire environment list"),
        ("README.zh.md", "make help", "make help"),
        ("CONTRIBUTING.md", "make pages", "make pages"),
        ("adr/0002-lance-and-duckdb.md", "isthmus olap rebuild", "isthmus olap rebuild"),
    } <= found
    assert not {text for _, text, _ in found} & {"publish model", "GET /health", ". _ - ~", "tar"}
    lines = {(one.page, one.line) for one in spoken() if one.text == "make help"}
    text = (SPEAKING[0]).read_text().splitlines()
    assert all("`make help`" in text[line - 1] for page, line in lines if page == "README.md")
