"""An ingest killed with SIGKILL at each of its steps: nothing half-ingested, and the next run carries on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from loop.ingest.scripted import record
from loop.ingest.test_run import DAY, Bench

TESTS = Path(__file__).resolve().parents[2]

VICTIM = textwrap.dedent("""
    import dataclasses, pathlib, sys
    from loop.ingest.scripted import record
    from loop.ingest.test_run import DAY, Bench

    def stop_at(progress):
        if progress.stage == sys.argv[2] and progress.done == int(sys.argv[3]):
            print("there", flush=True)
            sys.stdin.read()

    if __name__ == "__main__":
        bench = Bench(pathlib.Path(sys.argv[1]))
        bench.ingest = dataclasses.replace(bench.ingest, report=stop_at)
        bench.bring({DAY: {"one": [record("a", agents=1)], "two": [record("b", agents=1)]}})
        print("not killed", flush=True)
""")


@pytest.mark.parametrize(
    ("stage", "done", "visible"),
    [
        ("ingest cars", 0, ["old"]),
        ("ingest cars", 1, ["old"]),
        ("ingest cars", 2, ["old"]),
        ("commit cars", 0, ["old"]),
        ("level the OLAP", 0, ["old"]),
    ],
)
def test_a_killed_ingest_shows_the_old_day_until_the_next_run_brings_the_new_one(
    tmp_path: Path, stage: str, done: int, visible: list[str]
) -> None:
    new = {DAY: {"one": [record("a", agents=1)], "two": [record("b", agents=1)]}}
    bench = Bench(tmp_path)
    bench.bring({DAY: {"old": [record("old", agents=1)]}})
    script = tmp_path / "victim.py"
    script.write_text(VICTIM)
    child = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), stage, str(done)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    seen = bench.tables.olap.query("SELECT record_id FROM scenes ORDER BY 1")["record_id"].to_pylist()
    assert seen == visible
    again = Bench(tmp_path)
    finished = again.bring(new)
    assert finished.resumed
    assert again.ids() == ["cars.20261120.a.0.0", "cars.20261120.b.0.0"]
