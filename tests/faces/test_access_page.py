"""The page on access, docs/access.md, followed as an operator would."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hub_serving import serving
from isthmus.app.clock import SystemClock
from isthmus.app.console import read_console_config
from isthmus.app.people.access import Access
from isthmus.app.people.person import Role
from isthmus.faces.cli.main import run
from people_making import PASSWORD, SHELL, Counting, hashed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "access.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    every = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [text for named, text in every if named == language]


def test_its_commands_do_what_it_says_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "isthmus.toml").write_text('[site]\nname = "inner"\n[console]\n')
    (tmp_path / "olga.txt").write_text("a few words that do not go together\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("isthmus.app.people.passwords._argon2", Counting)
    monkeypatch.setattr("click.prompt", lambda *_, **__: PASSWORD)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    lines = [line for block in blocks("") for line in block.splitlines()]
    assert len(lines) == 13
    for line in lines:
        assert run(shlex.split(line)[1:]) == 0, line
    with Access(tmp_path / "inner/state/console/people.sqlite", SystemClock()) as access:
        assert [(one.name, one.role) for one in access.people.members()] == [("anna", Role.ADMIN)]
        assert access.keys.opening() == 0 and (tmp_path / "nightly.key").read_text().startswith("ish_")


def test_its_tables_can_be_read(tmp_path: Path) -> None:
    for text in blocks("toml"):
        (tmp_path / "isthmus.toml").write_text(text)
        config = read_console_config(tmp_path / "isthmus.toml")
        assert config.console.beyond_loopback and config.console.secure


@pytest.mark.skipif(not shutil.which("curl"), reason="the calls are made by curl: apt-get install curl")
def test_its_calls_are_answered(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        with Access(read_console_config(tmp_path / "isthmus.toml").people_file, SystemClock()) as access:
            access.people.add("anna", Role.ADMIN, hashed(), SHELL)
        environment = os.environ | {"URL": site.url, "KEY": site.keys[Role.ADMIN], "no_proxy": "127.0.0.1"}
        said = []
        for block in blocks("sh"):
            script = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n' + block
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            said.append(done.stdout)
        assert '"name":"the-admin"' in said[0] and '"act":"key add"' in said[0]
        with Access(read_console_config(tmp_path / "isthmus.toml").people_file, SystemClock()) as access:
            assert [one.act for one in access.trail.latest(most=2)] == ["logout", "login"]
