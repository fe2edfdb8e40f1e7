"""A pair of sites with rounds on both sides, for pages that show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hub_making import Made, made_hub
from isthmus.app.clock import SystemClock
from isthmus.app.people.person import Role
from recovery_sites import LEFT, RIGHT, Site, batch, pair, published


def pair_with_rounds(folder: Path) -> tuple[Site, Site]:
    """Set up a pair, and let two rounds go over."""
    north, south = pair(folder, backup_s=0.0)
    published(north, LEFT, RIGHT)
    for amounts in ({"ada": 1, "ben": 2}, {"gus": 3}):
        north.table().append([batch(**amounts)])
        north.run("backup")
        south.run("restore")
    north.run("backup", "--when-due")  # hears what the standby took
    return north, south


def pages_of(site: Site, folder: Path, role: Role | None = Role.ADMIN, others: Sequence[Site] = ()) -> Made:
    """Make the pages of a site, by the clock of the machine, as its rounds are."""
    folder.mkdir(parents=True, exist_ok=True)
    sites = [one.folder / "isthmus.toml" for one in others]
    return made_hub(folder, role, site.folder / "isthmus.toml", sites, clock=SystemClock())
