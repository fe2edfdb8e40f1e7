from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from forecasting_scenes import drives, packed
from isthmus.core.errors import RunFailed
from isthmus.core.progress import Progress
from isthmus.loop.forecasting import checkpoint
from isthmus.loop.forecasting.cluster import FAILURE, JOB, ClusterSettings, command, train_on
from isthmus.loop.forecasting.job import TrainJob
from isthmus.loop.forecasting.release import example_inputs
from isthmus.loop.forecasting.runtime import NumpyForecaster
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.shards import Shards, write_shards
from isthmus.loop.forecasting.split import SplitSettings, parts_of

pytest.importorskip("torch")

SMALL = TrainSettings(epochs=3, batch=16, hidden=24, pool=8, modes=2, dropout=0.0, patience=9)
TWO = ClusterSettings(mode="cluster", timeout_s=60)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "shards"
    write_shards(packed(drives(40)), folder, stride=5)
    return folder


def job(shards: Path, folder: Path, settings: TrainSettings = SMALL) -> TrainJob:
    parts = parts_of(Shards.open(shards).group_names, SplitSettings(seed=1))
    return TrainJob(str(shards), parts, str(folder), settings)


def test_two_processes_train_the_model_of_one_with_the_doubled_batch(shards: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    team = train_on(TWO, job(shards, tmp_path / "team"), told.append)
    one = train_on(ClusterSettings(), job(shards, tmp_path / "one", dataclasses.replace(SMALL, batch=32)))
    assert [progress.done for progress in told] == [1, 2, 3]
    inputs = example_inputs(50)
    ours, theirs = (NumpyForecaster.load(run.folder).run(*inputs) for run in (team, one))
    for left, right in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-3)
    for left, right in zip(team.curves, one.curves, strict=True):
        assert left.ade == pytest.approx(right.ade, abs=1e-3)


@pytest.mark.soak
def test_a_process_that_fails_fails_the_run_with_what_it_said(shards: Path, tmp_path: Path) -> None:
    gone = dataclasses.replace(job(shards, tmp_path / "run"), start=str(tmp_path / "nowhere"))
    with pytest.raises(RunFailed) as error:
        train_on(dataclasses.replace(TWO, processes_per_host=1), gone)
    assert "localhost" in str(error.value)
    assert "nowhere" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_process_that_is_killed_fails_the_run_and_leaves_its_last_epoch_and_no_process(
    shards: Path, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SMALL, epochs=400, patience=400)

    def kill_one(progress: Progress) -> None:
        if progress.done == 2:
            os.kill(_worker(tmp_path / "run" / JOB), signal.SIGKILL)

    with pytest.raises(RunFailed, match="cluster training failed on localhost"):
        train_on(TWO, job(shards, tmp_path / "run", settings), kill_one)
    stored = checkpoint.load(tmp_path / "run", job(shards, tmp_path / "run", settings).identity(world=2))
    assert stored is not None
    assert len(stored["curves"]) >= 2
    assert _workers(tmp_path / "run" / JOB) == []


def test_command_lines_carry_paths_and_reach_other_hosts(tmp_path: Path) -> None:
    settings = ClusterSettings(mode="cluster", hosts=("gpu-1", "gpu-2"), port=29400, backend="nccl")
    line = command(settings, 1, 29400, tmp_path / "with space" / JOB)
    assert line[:4] == ["ssh", "-o", "BatchMode=yes", "gpu-2"]
    assert "--master-addr=gpu-1" in line[4]
    assert "--node-rank=1" in line[4]
    assert f"'{tmp_path}/with space/{JOB}' nccl 600" in line[4]
    assert command(TWO, 0, 5, tmp_path / JOB)[0] == sys.executable


def test_a_host_that_cannot_be_reached_is_named(shards: Path, tmp_path: Path) -> None:
    away = ClusterSettings(mode="cluster", hosts=("far-away",), port=29400, reach=("/nonexistent/reach",))
    with pytest.raises(RunFailed, match="far-away"):
        train_on(away, job(shards, tmp_path))
    silent = dataclasses.replace(away, reach=("false", "{host}"))
    with pytest.raises(RunFailed, match="far-away: a process ended without a word"):
        train_on(silent, job(shards, tmp_path))


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="port"):
        ClusterSettings(hosts=("a", "b"))
    with pytest.raises(ValueError, match="twice"):
        ClusterSettings(hosts=("a", "a"), port=1)
    with pytest.raises(ValueError, match="empty"):
        ClusterSettings(hosts=())
    assert FAILURE.format(rank=3) == "failure.3.json"


def _workers(job_file: Path) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(job_file).encode() in words and b"torch.distributed.run" not in words:
                found.append(int(folder.name))
    return sorted(found)


def _worker(job_file: Path) -> int:
    return _workers(job_file)[-1]
