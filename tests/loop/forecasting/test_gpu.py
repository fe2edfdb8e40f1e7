"""What needs a GPU. Everything here skips where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forecasting_scenes import drives, packed
from isthmus.loop.forecasting.cluster import ClusterSettings, train_on
from isthmus.loop.forecasting.job import TrainJob
from isthmus.loop.forecasting.release import TOLERANCE, example_inputs, export_onnx
from isthmus.loop.forecasting.runtime import NumpyForecaster
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.shards import Shards, write_shards
from isthmus.loop.forecasting.split import SplitSettings, parts_of
from isthmus.loop.forecasting.train import train

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")

ON_GPU = TrainSettings(epochs=3, batch=32, hidden=32, pool=8, modes=3, dropout=0.0, device="cuda")


def job(folder: Path, settings: TrainSettings) -> TrainJob:
    shards = folder / "shards"
    write_shards(packed(drives(40)), shards, stride=5)
    parts = parts_of(Shards.open(shards).group_names, SplitSettings(seed=1))
    return TrainJob(str(shards), parts, str(folder / "run"), settings)


def test_a_gpu_trains_the_model_that_a_cpu_trains(tmp_path: Path) -> None:
    on_gpu = train(job(tmp_path / "gpu", ON_GPU))
    on_cpu = train(
        job(tmp_path / "cpu", TrainSettings(epochs=3, batch=32, hidden=32, pool=8, modes=3, dropout=0.0))
    )
    for here, there in zip(on_gpu.curves, on_cpu.curves, strict=True):
        assert here.loss == pytest.approx(there.loss, rel=1e-2)
    inputs = example_inputs(20)
    ours, theirs = (NumpyForecaster.load(run.folder).run(*inputs)[0] for run in (on_gpu, on_cpu))
    np.testing.assert_allclose(ours, theirs, atol=0.1)
    assert export_onnx(on_gpu.folder) <= TOLERANCE


def test_a_gpu_training_that_was_killed_carries_on(tmp_path: Path) -> None:
    def killed(progress: object) -> None:
        raise KeyboardInterrupt

    asked = job(tmp_path, ON_GPU)
    with pytest.raises(KeyboardInterrupt):
        train(asked, report=killed)
    assert [curve.epoch for curve in train(asked).curves] == [0, 1, 2]


def test_the_launcher_trains_over_nccl(tmp_path: Path) -> None:
    nccl = ClusterSettings(mode="cluster", processes_per_host=1, backend="nccl", timeout_s=120)
    trained = train_on(nccl, job(tmp_path, ON_GPU))
    assert len(trained.curves) == 3
    assert all(np.isfinite(curve.loss) for curve in trained.curves)
