"""The tutorial's blocks, pasted into one shell in an empty folder as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from diagrams import DOCS

pytestmark = pytest.mark.soak
BLOCKS = re.findall(r"```sh\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_tutorial_can_be_followed_as_it_stands(tmp_path: Path) -> None:
    assert len(BLOCKS) > 10
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(BLOCKS)],
        cwd=tmp_path,
        env={key: text for key, text in os.environ.items() if key != "ISTHMUS_SITE"} | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    told = ended.stdout + ended.stderr
    assert ended.returncode == 0, told[-4000:]
    assert len(list((tmp_path / "road" / "pictures").glob("*.png"))) == 4
    assert "forecast-" in told
    assert "this site is the primary of epoch 2" in told
    positions = re.findall(r"^position (1/\d+/\w+)$", told, re.MULTILINE)
    assert positions[0] == positions[1] != positions[2], "both ends show the same digest, then the next one"
