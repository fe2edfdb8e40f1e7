from __future__ import annotations

import json
import subprocess
import sys

import click

from gallery_sites import environment
from isthmus.faces.cli.main import COMMANDS, ORDER
from isthmus.faces.cli.root import isthmus

_TELL = """
import json, sys
from isthmus.faces.cli.main import run
assert run(sys.argv[1:]) == 0
print(json.dumps(sorted(sys.modules)))
"""


def imported(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _TELL, *words], capture_output=True, text=True, env=environment(), check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_line_that_help_shows_is_the_commands_own() -> None:
    context = click.Context(isthmus)
    for entry in COMMANDS:
        command = isthmus.get_command(context, entry.name)
        assert command is not None, entry.name
        assert command.get_short_help_str(200) == entry.about
    assert tuple(isthmus.list_commands(context)) == ORDER


def test_a_command_is_whole_when_only_its_own_modules_were_imported() -> None:
    for entry in COMMANDS:
        command = isthmus.get_command(click.Context(isthmus), entry.name)
        assert command is not None
        assert modules_of(command) <= set(entry.modules), f"{entry.name} lacks a module in COMMANDS"


def test_the_help_imports_no_command_and_nothing_that_draws() -> None:
    modules = imported("--help")
    assert not {f"isthmus.faces.cli.{one}" for entry in COMMANDS for one in entry.modules} & modules
    assert not {name.partition(".")[0] for name in modules} & {
        "rich",
        "json.tool",
        "numpy",
        "msgspec",
        "starlette",
    }


def test_one_command_imports_no_other() -> None:
    modules = imported("rules", "--help")
    assert "isthmus.faces.cli.mining" in modules
    assert not {"isthmus.faces.cli.recovery", "isthmus.faces.cli.acquire"} & modules


def modules_of(command: click.Command) -> set[str]:
    found = set()
    if command.callback is not None:
        found.add(command.callback.__module__.rpartition(".")[2])
    if isinstance(command, click.Group):
        for one in command.commands.values():
            found |= modules_of(one)
    return found
