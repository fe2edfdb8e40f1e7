from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest

from isthmus.app.maintenance import tidy
from isthmus.app.site import Site
from isthmus.core.errors import InputError
from isthmus.faces.cli.main import run as command
from isthmus.loop.runs.ledger import Ask
from isthmus.loop.runs.selecting import select
from isthmus.warehouse.export import export
from isthmus.warehouse.idlist import IdList
from traffic import DAY, bring, write_day, write_site


class Later:
    """A clock that is days ahead."""

    def __init__(self, days: int) -> None:
        self.days = days

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=self.days)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with six days that were each ingested by themselves."""
    folder = tmp_path_factory.mktemp("made")
    site = Site.open(write_site(folder))
    for number in range(6):
        day = DAY + datetime.timedelta(days=number)
        write_day(folder, str(day), range(number * 2, number * 2 + 2))
        bring(site, day)
    site.store.close()
    return folder


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Site:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Site.open(tmp_path / "isthmus.toml")


def rows(site: Site) -> dict[str, int]:
    found = site.tables.olap.query("SELECT scene_id, _rowid FROM scenes")
    return dict(zip(found["scene_id"].to_pylist(), found["_rowid"].to_pylist(), strict=True))


def test_small_files_are_joined_and_the_rows_stay_as_they_were(site: Site) -> None:
    before = rows(site)
    done = {found.what: found for found in tidy(site)}
    files = done["data files of scenes"]
    assert files.before >= 6
    assert files.after == 1
    assert rows(site) == before
    again = {found.what: found for found in tidy(site)}
    assert again["data files of scenes"].before == 1


def test_an_open_run_keeps_its_version_and_one_that_ended_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = site.ledger.begin("forecast", "by hand", Ask())
    select(site.pipeline("forecast").parts, ended)
    site.ledger.move(ended.id, "cancel", "killed before its version was let go")
    open_run = site.ledger.begin("forecast", "by hand", Ask())
    select(site.pipeline("forecast").parts, open_run)
    ids = IdList.read(site.run_folder(open_run.id).ids)
    bring(site)
    cleanup = type(site.tables.scenes).cleanup
    monkeypatch.setattr(
        type(site.tables.scenes), "cleanup", lambda table, age: cleanup(table, datetime.timedelta(0))
    )
    done = {found.what: found for found in tidy(site)}
    versions = done["versions of scenes"]
    assert (versions.after, list(site.tables.scenes.dataset.tags.list())) == (2, [f"run-{open_run.id}"])
    assert versions.freed > 0
    pinned = site.tables.scenes.at(ids.version)
    assert sum(batch.num_rows for batch in export(pinned, ids, ["scene_id"])) == ids.count


def test_sample_shards_of_runs_that_ended_long_ago_are_removed(site: Site) -> None:
    runs = [site.ledger.begin("forecast", "by hand", Ask())]
    site.ledger.move(runs[0].id, "cancel", "over")
    runs.append(site.ledger.begin("forecast", "by hand", Ask()))
    for run in runs:
        place = site.run_folder(run.id).shards("ids")
        place.mkdir(parents=True)
        (place / "index.json").write_bytes(b"x" * 1000)
    assert tidy(site)[-1].after == 2, "too young"
    site.clock = Later(8)
    shards = tidy(site)[-1]
    assert (shards.before, shards.after, shards.freed) == (2, 1, 1000)
    assert site.run_folder(runs[1].id).shards("ids").is_dir(), "an open run needs them"


def test_less_than_a_day_is_refused(site: Site) -> None:
    with pytest.raises(InputError, match="keep them for 1 day or more"):
        tidy(site, 0)


def test_the_command_tells_what_became_of_the_files(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["--site", str(tmp_path), "warehouse", "tidy"]) == 0
    assert "data files of scenes" in capsys.readouterr().out
