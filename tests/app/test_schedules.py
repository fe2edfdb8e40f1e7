"""When triggers fire next, in the site's time zone."""

from __future__ import annotations

import datetime
from pathlib import Path

from isthmus.app.config import read_config
from isthmus.app.schedules import timetable
from isthmus.app.site import Site
from traffic import write_site


class Noon:
    """A clock that stands at noon in UTC."""

    def now(self) -> datetime.datetime:
        return datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)


def test_the_next_time_is_told_in_the_time_zone_of_the_site(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    path.write_text(path.read_text().replace('name = "test"', 'name = "test"\ntimezone = "Asia/Tokyo"'))
    [one] = timetable(Site(read_config(path), clock=Noon()))
    assert (one.name, one.pipeline, one.ingest, one.last) == ("nightly", "forecast", ("cars",), None)
    assert one.after is not None
    assert one.after.isoformat() == "2026-11-21T02:00:00+09:00"
