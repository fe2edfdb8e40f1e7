"""Acquiring's demonstration tells its story without samples and without nginx, twice in one folder, and leaves
nothing behind that runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gallery_sites import environment, until
from isthmus.app.acquiring import demo, storehouse
from isthmus.app.chapters import Chapter, Happened

NEEDS_PROC = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="needs /proc to see the children of a process"
)


@pytest.mark.soak
def test_the_story_is_told_with_made_pictures_and_a_small_server_where_nothing_else_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_SAMPLES", str(tmp_path / "nowhere"))
    monkeypatch.setattr(storehouse.shutil, "which", lambda *_, **__: None)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "of a run before").write_text("")
    told = list(demo.tell_acquiring(tmp_path / "demo"))
    assert sum(isinstance(one, Chapter) for one in told) == 5
    lines = {one.what: one.result for one in told if isinstance(one, Happened)}
    assert lines["storage"].startswith("Python's HTTP server of intranet")
    assert "16 made pictures" in lines["storage"]
    assert lines["accepted"].startswith("33 requests, durable")
    assert lines["refused"].endswith("is forbidden: no rule allows http://169.254.169.254")
    assert lines["failed"].startswith("4 of intranet after 2 tries each")
    assert lines["failed"].endswith("4 of video arrived")
    assert lines["retry"].endswith("4 asked for again, 4 arrived")
    assert lines["arrived"] == "48 of 48: each told once (0 twice) and filed once (48 files)"
    assert lines["rows"].count(" of ") == 3
    places = {path.name for path in (tmp_path / "demo" / "hub" / "images").iterdir()}
    assert {"se-lund", "it-arezzo", "ke-nairobi"} <= places
    assert not (tmp_path / "demo" / "of a run before").exists()


@NEEDS_PROC
def test_a_story_that_is_ended_leaves_no_process_running(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "isthmus", "demo", "--only", "acquire", str(tmp_path / "demo")]
    with subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), "ISTHMUS_SAMPLES": str(tmp_path / "nowhere")},
    ) as telling:
        assert telling.stderr is not None
        for line in telling.stderr:
            if line.strip().startswith("accepted:"):
                break
        started = below(telling.pid)
        assert len(started) >= 5, "two storage servers, the interface server and its worker, two agents"
        telling.terminate()
        assert telling.stderr.read().splitlines()[-1].startswith("isthmus: interrupted")
    assert telling.returncode == 130
    until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], "all processes ended")


@NEEDS_PROC
def test_a_story_that_fails_says_where_to_look_and_ends_what_it_began(tmp_path: Path) -> None:
    before = below(os.getpid())
    (tmp_path / "demo").mkdir()

    story = demo.tell_acquiring(tmp_path / "demo")
    for one in story:
        if isinstance(one, Happened) and one.what == "server":
            (server,) = (
                pid
                for pid in below(os.getpid())
                if pid not in before and "serve" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            )
            os.kill(server, signal.SIGKILL)
            break
    with pytest.raises(demo.IsthmusError) as failed:
        list(story)
    assert "127.0.0.1" in str(failed.value) or "hub" in str(failed.value)
    until(lambda: not [pid for pid in below(os.getpid()) if pid not in before], "all processes ended")


def below(pid: int) -> list[int]:
    """List the processes that a process started, and those that these started."""
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for file in files for child in file.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [one for child in children for one in (child, *below(child))]
