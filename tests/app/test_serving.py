from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app import serving
from isthmus.app.site import Site
from isthmus.core.errors import Busy, SourceError
from isthmus.core.progress import silent
from isthmus.loop.ingest.journal import Entry
from isthmus.loop.runs.ledger import Ask
from isthmus.loop.runs.pipeline import Pipeline
from isthmus.state.lock import held
from traffic import write_day, write_site

YESTERDAY = datetime.date(2026, 11, 20)


def back(days: int) -> datetime.date:
    return YESTERDAY - datetime.timedelta(days=days)


def entry(days: int, state: str = "done", source: str = "cars") -> Entry:
    return Entry(source, back(days), state, "", "", 0, 0, 0)


def test_a_source_that_never_brought_anything_begins_with_yesterday() -> None:
    assert serving.days_due([entry(5, source="vans")], "cars", YESTERDAY) == [YESTERDAY]


def test_days_that_were_missed_while_nothing_served_are_caught_up() -> None:
    assert serving.days_due([entry(4), entry(9)], "cars", YESTERDAY) == [back(3), back(2), back(1), YESTERDAY]


def test_a_day_that_was_not_ready_or_not_finished_is_tried_again() -> None:
    entries = [entry(1), entry(2, "extracting"), entry(3), entry(7, "staged"), entry(40, "staged")]
    assert serving.days_due(entries, "cars", YESTERDAY) == [back(7), back(2), YESTERDAY]


@given(st.lists(st.tuples(st.integers(-3, 60), st.sampled_from(["done", "staged"])), max_size=20))
def test_yesterday_is_always_due_and_nothing_after_it_or_long_before(days: list[tuple[int, str]]) -> None:
    due = serving.days_due([entry(*day) for day in days], "cars", YESTERDAY)
    assert due[-1] == YESTERDAY
    assert due == sorted(set(due))
    assert (YESTERDAY - due[0]).days < serving.CATCH_UP_DAYS


def test_a_trigger_brings_the_day_in_and_goes_on_where_a_source_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_site(tmp_path)
    toml = path.read_text().replace('ingest = ["cars"]', 'ingest = ["vans", "cars"]')
    path.write_text(
        toml + '[source.vans]\njob_type = "batch"\n[source.vans.settings]\nfolder = "nowhere"\n'
        '[source.vans.settings.columns]\nrecord = "r"\nagent = "a"\nstep = "s"\nx = "x"\ny = "y"\n'
    )
    now = datetime.datetime(2026, 11, 21, 2, 0, tzinfo=datetime.UTC)
    monkeypatch.setattr("isthmus.app.clock.SystemClock.now", lambda clock: now)
    asked: list[tuple[str, str]] = []

    def run(pipeline: Pipeline, trigger: str, ask: Ask) -> object:
        asked.append((trigger, ask.mode))
        return pipeline.ledger.begin(pipeline.name, trigger, ask)

    monkeypatch.setattr(Pipeline, "fire", run)
    said = serving.fire(path, "nightly", silent)
    assert "vans 2026-11-20: " in said
    assert "cars 2026-11-20: 56 scenes, 0 rejects" in said
    assert asked == [("nightly", "auto")]
    write_day(tmp_path, "2026-11-21", range(20, 21))
    now += datetime.timedelta(days=1)
    site = Site.open(path)
    with held(site.state_folder / "runs" / "forecast.lock", "a run of forecast"), pytest.raises(Busy):
        serving.fire(path, "nightly", silent)
    assert len(site.journal.entries()) <= 2, "nothing is ingested while a run goes on"
    with pytest.raises(SourceError):
        site.ingest()(site.source("vans"), YESTERDAY)
