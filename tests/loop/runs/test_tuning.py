from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.site import Site
from isthmus.core.progress import Report, silent
from isthmus.loop.forecasting.cluster import ClusterSettings, train_on
from isthmus.loop.forecasting.job import Trained, TrainJob
from isthmus.loop.runs import tuning
from isthmus.loop.runs.ledger import Ask
from traffic import site_with_a_day


def test_the_trials_of_a_tuning_train_where_the_pipeline_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site_with_a_day(tmp_path)
    cluster = '[pipeline.forecast.cluster]\nmode = "cluster"\nprocesses_per_host = 2\n'
    path.write_text(path.read_text().replace("[trigger.nightly]", cluster + "[trigger.nightly]"))
    site = Site.open(path)
    asked: list[tuple[str, int]] = []

    def alone(settings: ClusterSettings, job: TrainJob, report: Report = silent) -> Trained:
        asked.append((settings.mode, settings.world))
        return train_on(ClusterSettings(), job, report)

    monkeypatch.setattr(tuning, "train_on", alone)
    run = site.pipeline("forecast").run("by hand", Ask(mode="tune"))
    assert (run.state, run.notes["attempts"]) == ("released", ["tune"])
    assert asked == [("cluster", 2)] * 3, "two trials, and the best of them once more, which stands already"
