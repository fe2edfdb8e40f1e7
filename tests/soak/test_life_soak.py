"""The whole life, told twice in one folder without samples: each part leads on from the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.chapters import Chapter, Happened
from isthmus.app.life import tell_life
from isthmus.core.progress import silent


@pytest.mark.soak
def test_the_life_is_told_and_told_again_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_SAMPLES", str(tmp_path / "nowhere"))
    for _ in range(2):
        told = list(tell_life(tmp_path / "demo", silent))
        assert sum(isinstance(one, Chapter) for one in told) == 17
        said: dict[str, list[str]] = {}
        for one in told:
            if isinstance(one, Happened):
                said.setdefault(one.what, []).append(one.result)
        champion = Path(said["champion"][0]).name
        assert said["model"][0].startswith(f"{champion} is published")
        assert said["model"][1].startswith(f"{champion} is active on the device")
        assert said["run"][0].startswith("paths of 1x")
        assert all("equal digests" in line for line in said["sync"])
        assert all(line.startswith("all tables (") for line in said["verify"])
        assert "and 88 acquired images" in said["warehouse"][-1]
