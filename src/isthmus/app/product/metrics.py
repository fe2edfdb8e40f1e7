"""What `isthmus up` wrote down of a site's parts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isthmus.app.product.record import read_record
from isthmus.app.product.standing import FAILED, RUNNING
from isthmus.app.upconfig import read_up_config
from isthmus.core.errors import InputError
from isthmus.core.prometheus import Family, Sample


def part_families(path: Path) -> Iterator[Family]:
    """Tell of the parts of the site whose TOML is at `path`; nothing where it never was up, or cannot be read."""
    try:
        record = read_record(read_up_config(path).state_folder)
    except InputError:
        return
    if record is None:
        return
    alive, parts = record.alive, record.parts
    yield Family("isthmus_up", "gauge", "1 while isthmus up runs the site.", [Sample({}, int(alive))])
    running = [Sample({"part": one.name}, int(alive and one.state == RUNNING)) for one in parts]
    yield Family("isthmus_part_running", "gauge", "1 while the part runs.", running)
    given_up = [Sample({"part": one.name}, int(one.state == FAILED)) for one in parts]
    yield Family("isthmus_part_given_up", "gauge", "1 where the part is started again no more.", given_up)
    restarts = [Sample({"part": one.name}, one.restarts) for one in parts]
    yield Family("isthmus_part_restarts_total", "counter", "How often the part was started again.", restarts)
