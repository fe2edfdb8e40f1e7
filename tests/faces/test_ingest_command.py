"""`isthmus ingest` of several sources, one of which fails."""

from __future__ import annotations

import datetime
import errno
from pathlib import Path

import pytest

from isthmus.app.site import Site
from isthmus.core.errors import SourceError
from isthmus.faces.cli.main import run
from isthmus.loop.extract.pool import run_units
from isthmus.loop.ingest import run as ingest_run
from isthmus.loop.ingest.run import Ingest, Ingested
from isthmus.loop.ingest.work import Source
from isthmus.state.lock import held
from traffic import write_site

DAY = datetime.date(2026, 11, 20)


@pytest.fixture(autouse=True)
def _no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: what several sources have to do with each other lies after that."""
    monkeypatch.setattr(ingest_run, "run_units", lambda task, units, workers: run_units(task, units, workers=0))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with the sources cars, more and rest over the same folder."""
    path = write_site(tmp_path)
    text = path.read_text()
    source = text[text.index("[source.cars]") : text.index("[pipeline")]
    for name in ("more", "rest"):
        text += "\n" + source.replace("source.cars", f"source.{name}")
    path.write_text(text)
    return Site.open(path)


def ingest(site: Site, capfd: pytest.CaptureFixture[str]) -> tuple[int, list[str], list[str]]:
    """Return the exit code, the sources in the table, and what was said."""
    capfd.readouterr()
    code = run(["--site", str(site.config.folder), "ingest", "--day", str(DAY)])
    told = capfd.readouterr()
    brought = [line.split("\t")[0] for line in told.out.splitlines()[1:]]
    return code, brought, [line for line in told.err.splitlines() if not line.startswith("{")]


def failing(monkeypatch: pytest.MonkeyPatch, errors: dict[str, BaseException]) -> None:
    """Let the ingest of some sources end in an error."""
    real = Ingest.__call__

    def call(self: Ingest, source: Source, day: datetime.date) -> Ingested:
        if source.name in errors:
            raise errors[source.name]
        return real(self, source, day)

    monkeypatch.setattr(Ingest, "__call__", call)


@pytest.mark.parametrize("busy", ["cars", "more", "rest"])
def test_a_source_that_another_process_ingests_does_not_keep_the_others_out(
    capfd: pytest.CaptureFixture[str], site: Site, busy: str
) -> None:
    with held(site.state_folder / "staging" / busy / f"{DAY}.lock", f"the ingest of {busy}"):
        code, brought, said = ingest(site, capfd)
    assert (code, brought) == (4, [name for name in ("cars", "more", "rest") if name != busy])
    assert len(said) == 1 and f"ingest of {busy}" in said[0]


def test_of_two_failures_both_are_told_and_the_one_that_waiting_does_not_mend_gives_the_code(
    capfd: pytest.CaptureFixture[str], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {"cars": SourceError("the folder is gone")})
    with held(site.state_folder / "staging" / "rest" / f"{DAY}.lock", "the ingest of rest"):
        code, brought, said = ingest(site, capfd)
    assert (code, brought) == (2, ["more"])
    assert [("gone" in line, "ingest of rest" in line) for line in said] == [(False, True), (True, False)]


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("odd"), 1, "unexpected RuntimeError: odd"),
    ],
)
def test_what_ends_the_whole_ingest_still_tells_what_came_in_and_what_did_not(
    capfd: pytest.CaptureFixture[str],
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    told: str,
) -> None:
    failing(monkeypatch, {"more": error})
    ended, brought, said = ingest(site, capfd)
    assert (ended, brought) == (code, ["cars"])
    assert said[0] == "isthmus: not ingested: more, rest"
    assert told in said[-1]
