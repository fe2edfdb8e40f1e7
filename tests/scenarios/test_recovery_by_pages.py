"""A primary is lost: its standby takes over by the console's pages, and the old one follows by them again."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from starlette.testclient import TestClient

from gallery_sites import until
from hub_making import TOKEN, OneGuard, flaws
from isthmus.app.clock import SystemClock
from isthmus.app.people.person import Person, Role
from isthmus.app.works.runner import Runner
from isthmus.faces.cli.catalogue import grave, recipes
from isthmus.faces.console.application import site_application
from isthmus.faces.http.hub.hub import Hub
from recovery_sites import Site, batch, counted, pair, published


@contextlib.contextmanager
def console(site: Site) -> Iterator[TestClient]:
    """Open a site's console, with works that run in earnest; its guard lets an admin in."""
    toml, clock = site.folder / "isthmus.toml", SystemClock()
    runner = Runner(site.folder / "state" / "console", toml, recipes, clock)
    runner.open()
    try:
        guard = OneGuard(Person("ada", Role.ADMIN, "session"))
        hub = Hub(toml, (toml,), guard, runner, clock, grave=frozenset(grave()))
        yield TestClient(site_application(hub), follow_redirects=True)
    finally:
        runner.close()


def led_through(client: TestClient, act: str, word: str) -> str:
    """Go through a guide to its end; returns the last page."""
    before = client.get(f"/recovery/{act}")
    assert flaws(before.text) == []
    assert 'data-verdict="wrong"' not in before.text
    begun = client.post(f"/recovery/{act}", data={"csrf": TOKEN, "confirm": word})
    assert begun.status_code == 200
    place = f"/recovery/{act}?{begun.url.query.decode()}"
    return str(until(lambda: _ended(client, place), f"{act} has ended", 120))


def _ended(client: TestClient, place: str) -> str:
    page = client.get(place).text
    return page if "5 · How it ended" in page else ""


def test_a_standby_takes_over_and_the_old_primary_follows_it_by_the_pages_alone(tmp_path: Path) -> None:
    north, south = pair(tmp_path, backup_s=0.0)
    published(north)
    north.table().append([batch(ada=1)])
    north.run("backup")
    south.run("restore")
    north.table().append([batch(lost=9)])  # never sent: what a failover leaves behind
    with console(south) as client:
        assert "failover" in client.get("/recovery").text
        ended = led_through(client, "failover", "south")
        assert "south is now: primary, epoch 2" in ended
        assert re.search(r"it goes on from \d{8}_\d{6}", ended)
    assert south.rows() == counted(ada=1)
    south.table().append([batch(eve=5)])
    south.run("backup")  # tells of itself, too
    north.run("backup", code=2)  # hears of the later epoch, and writes no more
    with console(north) as client:
        ended = led_through(client, "failback", "south")
        assert "north is now: standby, epoch 2" in ended
    north.run("restore")
    until(lambda: north.rows() == counted(ada=1, eve=5), "north shows what south has", 60)
    kept = [name for name in north.catalog.names() if "payers" in str(name) and str(name) != "main.bank.payers"]
    assert kept, "what north had alone is kept aside"
