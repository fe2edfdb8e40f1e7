from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from diagrams import DESIGN, MACHINES, named, redrawn

PAGES = sorted(DESIGN.parent.rglob("*.md"))
README = DESIGN.parent.parent / "README.md"
COMMANDS = [
    (page.name, command)
    for page in (README, *PAGES)
    for command in re.findall(r"(?:^|`)(isthmus [^`\n]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
]


def test_the_diagrams_of_the_design_are_those_of_the_rows() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    assert named(text) == list(MACHINES)
    assert text == redrawn(text), "draw them anew with: python tests/diagrams.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda part: part[:40])
def test_every_command_in_the_documents_exists_with_its_options(page: str, line: str) -> None:
    from isthmus.faces.cli.main import isthmus

    command: click.Command = isthmus
    words = shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group):
        context = click.Context(command)
        _, words, _ = command.make_parser(context).parse_args(words)
        if not words:  # prose that names a group
            return
        found = command.get_command(context, words[0])
        assert found is not None, f"{page}: no command {words[0]!r}"
        command, words = found, words[1:]
    try:
        command.make_context(command.name or "", words)
    except click.MissingParameter:
        assert not words, f"{page}: {line}"  # prose that names a command


def test_commands_are_found_in_the_documents() -> None:
    assert len(COMMANDS) > 20
    assert ("README.md", "isthmus loop list") in COMMANDS


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_every_toml_in_the_documents_can_be_read(page: Path) -> None:
    for text in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert tomllib.loads(text)


def test_the_rule_of_the_how_to_can_be_mined(tmp_path: Path) -> None:
    from isthmus.loop.rules.catalogue import Catalogue

    page = (DESIGN.parent / "how-to" / "add-a-rule.md").read_text(encoding="utf-8")
    path = tmp_path / "highway.toml"
    path.write_text(next(iter(re.findall(r"```toml\n(.*?)```", page, re.DOTALL))))
    bound = Catalogue.load([path]).bind("tight_cut_in and not hard_brake", {"tight_cut_in.tight_gap": "6"})
    assert "cut_in_gap_m <= 6" in str(bound.expression)


def test_every_exit_code_is_explained() -> None:
    from isthmus.core import errors

    codes = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")
    }
    text = DESIGN.read_text(encoding="utf-8")
    assert all(f"\n| {code} | " in text for code in {*codes, 0, 3, 130})


def test_every_decision_is_listed() -> None:
    folder = DESIGN.parent / "adr"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for page in folder.glob("0*.md"):
        assert f"({page.name})" in listed
        body = page.read_text(encoding="utf-8")
        assert all(f"\n## {part}\n" in body for part in ("Context", "Decision", "Consequences")), page.name
