from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.core.errors import SourceError
from isthmus.loop.extract.pool import UnitResult, run_units
from isthmus.loop.record import Unit
from pool_tasks import Scripted


def units(*keys: str) -> list[Unit]:
    return [Unit(key, "fingerprint") for key in keys]


@pytest.fixture
def task(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path / "log")


def told(results: Iterator[UnitResult[str]]) -> dict[str, str]:
    return {result.unit.key: result.value or result.error for result in results}


def children() -> int:
    return len(multiprocessing.active_children())


@pytest.mark.parametrize("workers", [0, 2])
def test_every_unit_comes_back_once(task: Scripted, workers: int) -> None:
    keys = [f"u{number}" for number in range(7)]
    assert told(run_units(task, units(*keys), workers=workers)) == {key: key.upper() for key in keys}
    assert sorted(task.log.read_text().split()) == keys
    assert children() == 0


def test_nothing_to_do_starts_nobody(task: Scripted) -> None:
    assert list(run_units(task, [], workers=2)) == []


def test_a_worker_that_is_killed_costs_its_unit_alone_after_one_more_try(task: Scripted) -> None:
    found = list(run_units(task, units("a", "killed", "b", "exit", "c"), workers=2))
    words = {result.unit.key: result for result in found}
    assert [words[key].value for key in "abc"] == ["A", "B", "C"]
    assert "SIGKILL" in words["killed"].error
    assert "exit code 3" in words["exit"].error
    assert task.log.read_text().split().count("killed") == 2
    reject = words["killed"].reject()
    assert (reject.reason, reject.where) == ("unreadable", "killed")
    assert children() == 0


def test_a_unit_whose_worker_dies_once_is_done_by_another(task: Scripted) -> None:
    assert told(run_units(task, units("once", "a"), workers=1)) == {"once": "ONCE", "a": "A"}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_task_that_raises_loses_its_unit_in_one_line(task: Scripted, workers: int) -> None:
    found = told(run_units(task, units("bug", "a"), workers=workers))
    assert found == {"bug": "ValueError: a line and another", "a": "A"}


def test_a_result_that_cannot_be_sent_is_told(task: Scripted) -> None:
    found = told(run_units(task, units("odd", "a"), workers=1))
    assert "cannot be sent" in found["odd"]
    assert found["a"] == "A"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_and_a_refusal_end_the_run(task: Scripted, workers: int) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        list(run_units(task, units("full", "a"), workers=workers))
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(SourceError, match="the folder is gone; mount it"):
        list(run_units(task, units("refused"), workers=workers))
    assert children() == 0


def test_stopping_in_the_middle_ends_the_workers(task: Scripted) -> None:
    results = run_units(task, units(*(f"u{number}" for number in range(50))), workers=2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert children() == 0
    assert len(task.log.read_text().split()) < 50


def test_units_are_asked_for_only_as_workers_are_free(task: Scripted) -> None:
    asked: list[str] = []

    def endless() -> Iterator[Unit]:
        for number in range(1000):
            asked.append(f"u{number}")
            yield Unit(f"u{number}", "")

    results = run_units(task, endless(), workers=2)
    next(results)
    assert len(asked) <= 3
    results.close()  # type: ignore[attr-defined]


def test_workers_use_one_thread_and_this_process_stays_as_it_was(
    task: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert told(run_units(task, units("threads"), workers=1)) == {"threads": "1"}
    assert "OMP_NUM_THREADS" not in os.environ


def test_ctrl_c_ends_everybody() -> None:
    script = (
        "from pool_tasks import wait_for_a_signal\n"
        "from isthmus.loop.extract.pool import run_units\n"
        "from isthmus.loop.record import Unit\n"
        "list(run_units(wait_for_a_signal, [Unit('a', ''), Unit('b', '')], workers=2))\n"
    )
    tests = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(tests)},
    )
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group gets it
    _, told = process.communicate(timeout=60)
    assert told.rstrip().endswith("KeyboardInterrupt")
    assert told.count("Traceback") == 1
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
