"""Settings, options and calls that stand in sentences: each is read as it stands by what it is meant for."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from page_reader import Reader
from page_worlds import installed, read_site
from pages import Block, name_of
from prose import SPEAKING, prose_of

SPANS = {
    (name_of(page), " ".join(span.split()))
    for page in SPEAKING
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose_of(page))
}
SETTINGS = sorted((page, span) for page, span in SPANS if re.match(r"\w+ = ", span))
GATED = '[acquire.gate.north]\ncredential = "north.json"\nout_folder = "out"\nin_folder = "in"\n'
AROUND = {
    "classic": '[recovery]\npeer = "south"\nrole = "primary"\nout_place = "out"\nin_place = "in"\n',
    "consume": '[gallery]\nrole = "outer"\n[gate]\nfolder = "gate"\n',
    "cut_s": '[gallery]\nrole = "inner"\n[gate]\nfolder = "gate"\n',
    "day_from": '[source.fleet]\njob_type = "ros"\n[source.fleet.settings]\nfiles = "*.mcap"\n'
    'agents.ego.topics."/gps/fix" = { latitude = "latitude", longitude = "longitude" }\n',
    "engine": '[gallery]\nrole = "outer"\n[sync]\nport = 0\n[ice]\n',
    "extractor": '[gallery]\nrole = "outer"\n',
    "format": '[gallery]\nrole = "inner"\n[gate]\nfolder = "gate"\n',
    "person_by_folder": "[device]\n",
    "poll_s": GATED,
}
"""By key: what stands before it in a site's TOML."""
FOREIGN = {
    "--build-arg": "docker build",
    "--find-links": "pip install",
    "--format": "podman build",
    "--network": "docker run",
    "--no-index": "pip install",
    "--flag": "stands for any",
}
"""Options of other programs, and whose they are; `--network` and `--format` are our own, too."""


@pytest.mark.parametrize(("page", "span"), SETTINGS)
def test_a_setting_in_a_sentence_is_read_as_it_stands(tmp_path: Path, page: str, span: str) -> None:
    key = span.split()[0]
    assert key in AROUND, f"{page} says `{span}`: tell in AROUND which table it is of"
    around = GATED if page == "adr/0015-acquiring-through-gates-by-an-office.md" else AROUND[key]
    if key == "classic":
        _classic(tmp_path / "as-it-stands")
    with installed("how-to/add-an-extractor.md", tmp_path / "packages"):
        read_site(Reader(tmp_path), Block(page, 0, "toml", f"{span}\n"), f'[site]\nname = "site"\n{around}')


def _classic(folder: Path) -> None:
    folder.mkdir()
    (folder / "backupRestore.ini").write_text("[default]\nparrallel-process=2\n")


def test_what_is_known_of_settings_is_said_somewhere() -> None:
    assert set(AROUND) == {span.split()[0] for _, span in SETTINGS}


def test_an_option_in_a_sentence_is_one_of_a_command() -> None:
    known = _options()
    assert {"--site", "--watch", "--when-due"} <= known
    words = {
        (page, word) for page, span in SPANS if span.startswith("--") for word in re.findall(r"--[a-z-]+", span)
    }
    assert len(words) > 20
    wrong = sorted((page, word) for page, word in words if word not in known and word not in FOREIGN)
    assert not wrong, "no command has them, and FOREIGN does not say whose they are"
    assert set(FOREIGN) <= {word for _, word in words}


def _options() -> set[str]:
    from isthmus.faces.cli.main import isthmus

    found: set[str] = set()
    waiting: list[click.Command] = [isthmus]
    while waiting:
        command = waiting.pop()
        found |= {option for one in command.params for option in one.opts if isinstance(one, click.Option)}
        if isinstance(command, click.Group):
            context = click.Context(command)
            waiting += filter(
                None, (command.get_command(context, name) for name in command.list_commands(context))
            )
    return found


def test_a_call_of_the_client_in_a_sentence_is_one_of_its_methods() -> None:
    from isthmus.client import Client

    calls = {call for page, span in SPANS if page == "client.md" for call in re.findall(r"^site\.(\w+)\(", span)}
    assert len(calls) >= 4
    assert not {call for call in calls if not callable(getattr(Client, call, None))}
