"""The console over a demonstration's sites: one table, one user, a new password each time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from gallery_sites import environment, write
from isthmus.app.console import read_console_config
from isthmus.app.showing import prepare_console, sites_of
from isthmus.core.errors import InputError

SITE = '[site]\nname = "{name}"\n'


@pytest.fixture
def told(tmp_path: Path) -> Path:
    for place in (".", "gallery/outer", "recovery/north"):
        write(tmp_path / place, SITE.format(name=Path(place).name or "main"))
    return tmp_path


def test_the_console_shows_all_sites_and_lets_one_user_in(told: Path) -> None:
    site, first = prepare_console(told)
    config = read_console_config(site / "isthmus.toml")
    assert [path.resolve() for path in config.sites] == [path.resolve() for path in sites_of(told)]
    assert len(config.sites) == 3
    assert config.people_file.is_file()
    written = (told / "isthmus.toml").read_text()
    _, second = prepare_console(told)
    assert first != second
    assert (told / "isthmus.toml").read_text().count("[console]") == written.count("[console]") == 1
    assert not (told / "password").exists()


def test_a_folder_without_sites_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no site"):
        prepare_console(tmp_path)


def test_an_interrupt_ends_the_console_that_was_left_open(told: Path) -> None:
    toml = told / "isthmus.toml"
    prepare_console(told)
    toml.write_text(toml.read_text().replace("port = 8460", "port = 0"))
    words = [sys.executable, "-c", "import sys; from pathlib import Path; from isthmus.app.showing import *; "
             "sys.exit(serve_console(Path(sys.argv[1])))", str(told)]  # fmt: skip
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as showing:
        assert showing.stdout is not None
        url = showing.stdout.readline().split()[1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/health", timeout=30) as answer:
            assert answer.status == 200
        showing.send_signal(signal.SIGINT)
        assert showing.wait(60) == 0
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        try:
            opener.open(f"{url}/health", timeout=1).close()
        except OSError:
            return
    raise AssertionError("the console serves on")
