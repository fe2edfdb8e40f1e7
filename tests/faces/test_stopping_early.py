"""Who works until told to stop heeds that from the beginning, before it has read what it is to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gallery_sites import environment

_STARTING = """
import os, signal, sys
from isthmus.app.acquiring import agents, config, offices
from isthmus.faces.cli.main import run

def work(config, label, stop):
    print("told to stop" if stop.is_set() else "told nothing")

config.read_acquire_config = lambda path: os.kill(os.getpid(), int(sys.argv[1]))
agents.run_agent = offices.run_office = work
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", ["2", "15"], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("words", [("agent",), ("acquire", "office")], ids=" ".join)
def test_a_signal_before_the_work_begins_ends_it_in_order(
    tmp_path: Path, words: tuple[str, ...], number: str
) -> None:
    line = [sys.executable, "-c", _STARTING, number, "--site", str(tmp_path), *words, "--environment", "video"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "told to stop"), done


_INTERRUPTED = """
import isthmus.faces.cli.main as main
import isthmus.faces.cli.screen as screen

def interrupted(*words, **options):
    exec("raise KeyboardInterrupt")

screen.say("about to begin")
main.isthmus.main = interrupted
"""


def test_ctrl_c_in_code_that_was_made_of_a_string_ends_with_130_as_everywhere(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", "status"],
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130, done
    assert "interrupted; the same command goes on from here" in done.stderr
