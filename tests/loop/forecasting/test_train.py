from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecasting_scenes import drives, ngsim, packed
from isthmus.core.errors import Corrupt, RunFailed
from isthmus.core.progress import Progress
from isthmus.loop.forecasting import epochs as epochs_module
from isthmus.loop.forecasting.feed import Feed, Portion
from isthmus.loop.forecasting.job import EpochCurve, Trained, TrainJob
from isthmus.loop.forecasting.runtime import NumpyForecaster
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.shape import WEIGHTS
from isthmus.loop.forecasting.shards import Shards, write_shards
from isthmus.loop.forecasting.split import SplitSettings, parts_of
from isthmus.loop.forecasting.train import train
from samples import needs_samples

pytest.importorskip("torch")

SMALL = TrainSettings(epochs=4, batch=32, hidden=32, pool=8, modes=3, stride=5, dropout=0.1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "shards"
    write_shards(packed(drives(60)), folder, stride=5, shard_samples=40)
    return folder


def job(shards: Path, folder: Path, settings: TrainSettings = SMALL, **more: Any) -> TrainJob:
    groups = Shards.open(shards).group_names
    return TrainJob(str(shards), parts_of(groups, SplitSettings(seed=1)), str(folder), settings, **more)


def weights(trained: Trained) -> bytes:
    return (trained.folder / WEIGHTS).read_bytes()


def test_training_learns_and_tells_its_curves_and_progress(shards: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    settings = dataclasses.replace(SMALL, epochs=12, learning_rate=5e-3)
    trained = train(job(shards, tmp_path, settings), report=told.append)
    assert trained.curves[-1].train_loss < 0.7 * trained.curves[0].train_loss
    assert [progress.done for progress in told] == list(range(1, len(trained.curves) + 1))
    assert "validation" in told[0].note
    assert Trained.read(tmp_path) == trained
    assert NumpyForecaster.load(tmp_path).shape == settings.shape


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(shards: Path, tmp_path: Path) -> None:
    first = weights(train(job(shards, tmp_path / "a")))
    assert weights(train(job(shards, tmp_path / "b"))) == first
    assert weights(train(job(shards, tmp_path / "c", dataclasses.replace(SMALL, seed=5)))) != first


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_training_that_was_killed_carries_on_to_the_same_bytes(
    shards: Path, tmp_path: Path, killed_after: int
) -> None:
    def killed(progress: Progress) -> None:
        if progress.done == killed_after:
            raise KeyboardInterrupt

    whole = train(job(shards, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(job(shards, tmp_path / "cut"), report=killed)
    told: list[Progress] = []
    resumed = train(job(shards, tmp_path / "cut"), report=told.append)
    assert told[0].done == killed_after + 1
    assert weights(resumed) == weights(whole)
    assert resumed.curves == whole.curves


def test_a_checkpoint_of_another_training_is_not_carried_on(shards: Path, tmp_path: Path) -> None:
    train(job(shards, tmp_path))
    told: list[Progress] = []
    train(job(shards, tmp_path, dataclasses.replace(SMALL, seed=9)), report=told.append)
    assert told[0].done == 1


def test_a_broken_checkpoint_is_named(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"PK broken")
    with pytest.raises(Corrupt, match=r"checkpoint\.pt"):
        train(job(shards, tmp_path))


def test_a_loss_that_is_no_number_fails_the_run_in_one_line(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = epochs_module.loss_of
    monkeypatch.setattr(epochs_module, "loss_of", lambda *of: real(*of) * float("nan"))
    with pytest.raises(RunFailed, match="diverged in epoch 1") as error:
        train(job(shards, tmp_path))
    assert "learning_rate" in str(error.value)
    assert "\n" not in str(error.value)


def test_training_ends_when_no_epoch_was_better_for_long(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs_module, "cost", lambda curve: float(curve.epoch))
    trained = train(job(shards, tmp_path, dataclasses.replace(SMALL, epochs=30, patience=2)))
    assert (trained.best_epoch, len(trained.curves)) == (0, 3)


def test_incremental_begins_at_the_champion_and_replays_a_share_of_the_old(shards: Path, tmp_path: Path) -> None:
    long = dataclasses.replace(SMALL, epochs=30, patience=30, batch=16, learning_rate=5e-3)
    champion = train(job(shards, tmp_path / "champion", long))
    fresh = tmp_path / "new"
    write_shards(packed(drives(70)[60:]), fresh, stride=5)
    settings = dataclasses.replace(SMALL, epochs=1, replay_fraction=0.25, learning_rate=1e-4)
    groups = {*Shards.open(fresh).group_names, *Shards.open(shards).group_names}
    parts = parts_of(groups, SplitSettings(seed=1))
    more = TrainJob(
        str(fresh), parts, str(tmp_path / "i"), settings, start=str(champion.folder), replay=str(shards)
    )
    scratch = TrainJob(str(fresh), parts, str(tmp_path / "s"), settings)
    assert train(more).curves[0].loss < 0.8 * train(scratch).curves[0].loss


def test_replay_shows_other_old_samples_in_each_epoch(shards: Path) -> None:
    opened = Shards.open(shards)
    portion = Portion(opened, frozenset(opened.group_names), share=0.25)
    feed = Feed([portion], dataclasses.replace(SMALL, forget=0.0, mirror=False, batch=8))
    first, second = ({float(s) for b in feed.batches(epoch) for s in b.speed} for epoch in (0, 1))
    assert abs(sum(len(b) for b in feed.batches(0)) / len(opened) - 0.25) < 0.12
    assert first != second


def test_two_processes_see_what_one_with_the_doubled_batch_sees(shards: Path) -> None:
    opened = Shards.open(shards)
    portion = Portion(opened, frozenset(opened.group_names))
    one = list(Feed([portion], dataclasses.replace(SMALL, batch=32)).batches(3))
    team = Feed([portion], dataclasses.replace(SMALL, batch=16), world=2)
    for whole, left, right in zip(one, team.batches(3, 0), team.batches(3, 1), strict=True):
        np.testing.assert_array_equal(whole.mine, np.concatenate([left.mine, right.mine]))
        np.testing.assert_array_equal(whole.future, np.concatenate([left.future, right.future]))


def test_groups_that_test_are_never_fed(shards: Path) -> None:
    opened = Shards.open(shards)
    chosen = frozenset(opened.group_names[:3])
    wanted = np.concatenate(
        [opened.take(n, Portion(opened, chosen).rows(n)).seen[:, 0, -1, 3] for n in range(len(opened.counts))]
    )
    feed = Feed([Portion(opened, chosen)], dataclasses.replace(SMALL, forget=0.0, batch=4))
    fed = np.concatenate([batch.speed for batch in feed.batches(0)])
    assert set(fed) <= set(wanted)
    assert len(wanted) == len(Portion(opened, chosen)) == 12


def test_nothing_to_train_on_is_a_failed_run(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="no samples"):
        train(TrainJob(str(shards), {"nobody": "train"}, str(tmp_path), SMALL))


def test_one_group_alone_can_be_trained_on(tmp_path: Path) -> None:
    write_shards(packed(drives(1)), tmp_path / "s", stride=2)
    curves = train(job(tmp_path / "s", tmp_path / "t")).curves
    assert all(isinstance(curve, EpochCurve) and np.isfinite(curve.loss) for curve in curves)


@needs_samples
def test_on_real_traffic_a_short_training_beats_constant_velocity(tmp_path: Path) -> None:
    write_shards(packed(ngsim(30), rows=32), tmp_path / "s", stride=4)
    opened = Shards.open(tmp_path / "s")
    parts = parts_of(opened.group_counts, SplitSettings(validation=0.2, test=0.25))
    settings = TrainSettings(epochs=10, batch=64, hidden=128, pool=32, modes=3)
    train(TrainJob(str(tmp_path / "s"), parts, str(tmp_path / "t"), settings))
    forecaster = NumpyForecaster.load(tmp_path / "t")
    test = Portion(opened, frozenset(name for name in parts if parts[name] == "test"))
    ours, straight = [], []
    for shard in range(len(opened.counts)):
        cut = opened.take(shard, test.rows(shard))
        ours.append(np.linalg.norm(forecaster.forecast(cut.seen, cut.size).best() - cut.future, axis=-1).ravel())
        ahead = np.arange(1, 31) * 0.1 * cut.seen[:, 0, -1, 3, None]
        straight.append(np.hypot(ahead - cut.future[..., 0], cut.future[..., 1]).ravel())
    assert np.concatenate(ours).mean() < 0.95 * np.concatenate(straight).mean()
