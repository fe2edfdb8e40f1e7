"""Recovery's demonstration: a primary and a standby as processes, in folders of their own; one of them is killed.

This process is the operator, who types command lines at both sites. Told alone, the primary makes tables of its
own; as a part of a longer story it publishes those of a warehouse that is there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from isthmus.app import stage
from isthmus.app.chapters import Chapter, Happened
from isthmus.core.errors import RunFailed, UnknownName
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName

_DAYS = [f"2026-11-{day}" for day in range(20, 25)]
_SCENES = TableName("main", "loop", "scenes")
_COUNT = "SELECT count(*) AS scenes, count(DISTINCT day) AS days FROM scenes"
_SITE = """[site]
name = "{name}"
workers = 2
{warehouse}
[source.highway]
job_type = "simulation"
[source.highway.settings]
episodes = 2
scenarios = ["highway"]
policies = ["idm"]
scenes_of = "all"

[recovery]
peer = "{peer}"
role = "{role}"
out_place = "../to-{peer}"
in_place = "../to-{name}"
trust = ["{trust}"]
backup_s = 2                # every two seconds; a fleet would say 300
restore_s = 0.5
"""


class Story(stage.Troupe):
    """The two sites, and the command lines that are typed at them.

    `shared` is the warehouse that the first one publishes, where it is not one of its own.
    """

    def __init__(self, folder: Path, shared: Path | None = None) -> None:
        super().__init__(folder)
        self.roots = {"north": shared or folder / "north" / "warehouse", "south": folder / "south" / "warehouse"}
        self.shared = shared

    def make(self) -> None:
        """Make both sites, and let each trust the other's key."""
        keys = {}
        for name in ("north", "south"):
            key = self.folder / name / "keys" / "recovery.pem"
            keys[name] = stage.tell(self.folder, "recovery", "keys", str(key)).strip()
        for name, peer, role in (("north", "south", "primary"), ("south", "north", "standby")):
            root = f'\n[warehouse]\nroot = "{self.shared.as_posix()}"\n' if self.shared and name == "north" else ""
            text = _SITE.format(name=name, peer=peer, role=role, trust=keys[peer], warehouse=root)
            (self.folder / name / "isthmus.toml").write_text(text)

    def tell(self, name: str, *words: str) -> str:
        """Type a command line at a site."""
        return stage.tell(self.folder / name, *words)

    def said(self, name: str, *words: str, code: int = 0) -> list[str]:
        """Type a command line that has to end with a code; return what it said beside its result, by lines."""
        done = subprocess.run(
            stage.command(self.folder / name, *words), capture_output=True, text=True, check=False
        )
        if done.returncode != code:
            raise RunFailed(
                f"isthmus {' '.join(words)} ended with {done.returncode}, not {code}: {done.stderr[-400:]}"
            )
        return [line.removeprefix("isthmus: ") for line in done.stderr.splitlines() if not line.startswith("{")]

    def refused(self, name: str, *words: str) -> str:
        """Type a command line that has to be refused; return why it was."""
        return " ".join(self.said(name, *words, code=6))

    def serve(self, name: str) -> None:
        """Start a site's rounds."""
        self.start(name, self.folder / name, "serve", "recovery")

    def ingest(self, name: str, day: str) -> None:
        """Bring a day of scenes in."""
        self.tell(name, "ingest", "--day", day)

    def scenes(self, name: str) -> str:
        """Ask a site how many scenes of how many days it has."""
        counts = self.tell(name, "query", _COUNT).splitlines()[1].split("\t")
        return f"{counts[0]} scenes of {counts[1]} day{'s' if counts[1] != '1' else ''}"

    def shown(self, name: str) -> str:
        """Return the time of the barrier that a standby shows, as show-progress tells it."""
        return str(self.progress(name)["failover recovery point time"])

    def progress(self, name: str) -> dict[str, object]:
        """Return what show-progress tells."""
        found: dict[str, object] = json.loads(self.tell(name, "recovery", "show-progress"))
        return found

    def same(self, standby: str, primary: str) -> str:
        """Wait until the standby shows as many scenes as the primary has; ask it how many."""
        wanted = self._count(primary)
        self.until(lambda: self._count(standby) == wanted, f"{standby} has what {primary} has")
        return self.scenes(standby)

    def _count(self, name: str) -> int:
        """Count without a command line: each of those takes a second to start."""
        catalog = Catalog(self.roots[name])
        try:
            return catalog.open(_SCENES).count()
        except UnknownName:
            return -1

    def role(self, name: str) -> str:
        """Return what a site is now."""
        return Catalog(self.roots[name]).fence().role


def tell_recovery(folder: Path, shared: Path | None = None) -> Iterator[Chapter | Happened]:
    """Tell the story: follow, verify, kill, fail over, fail back. The folder is made anew.

    `shared` is the folder of a warehouse whose tables are published; without it the primary makes some.
    """
    story = Story(folder.resolve(), shared.resolve() if shared else None)
    if shared is not None and story.role("north") != "independent":
        _leave(story)
    shutil.rmtree(folder, ignore_errors=True)
    with stage.interruptible():
        try:
            yield from _told(story)
        finally:
            story.close()


def _leave(story: Story) -> None:
    """Let the warehouse leave the pair that an earlier telling made of it."""
    if (story.folder / "north" / "isthmus.toml").exists():
        story.tell("north", "recovery", "stop-backup")
        story.tell("north", "recovery", "set-independent")
    else:
        raise RunFailed(f"{story.roots['north']} is one of a pair that is not here", "name another folder")


def _told(story: Story) -> Iterator[Chapter | Happened]:
    yield Chapter("A primary publishes its tables, and a standby follows")
    story.make()
    if story.shared is None:
        story.ingest("north", _DAYS[0])
    story.tell("north", "recovery", "create-publication", "--all")
    for name in ("south", "north"):
        story.serve(name)
    yield Happened("rounds", f"south has {story.same('south', 'north')}, shown as of {story.shown('south')}")
    yield Happened("read-only", story.refused("south", "table", "drop", str(_SCENES), "--yes"))
    story.ingest("north", _DAYS[1])
    yield Happened("next round", f"south has {story.same('south', 'north')}")
    yield Happened("verify", story.said("south", "recovery", "verify", "--rows")[-1])

    yield Chapter("The primary is killed, and the standby takes over")
    story.kill("north")
    story.ingest("north", _DAYS[2])
    yield Happened("killed", f"the rounds of north, with -9; it goes on to {story.scenes('north')} alone")
    for line in story.said("south", "recovery", "failover", "--yes"):
        yield Happened("failover", line)
    story.ingest("south", _DAYS[3])
    yield Happened("primary", f"south is written now, and has {story.scenes('south')}")

    yield Chapter("The old primary comes back: what it had alone is kept aside, and only the difference travels")
    story.serve("north")
    story.until(lambda: story.role("north") == "fenced", "north hears of the new primary")
    yield Happened("fenced", story.refused("north", "table", "drop", str(_SCENES), "--yes"))
    story.kill("north")
    kept = story.tell("north", "recovery", "failback").splitlines()[1:]
    story.serve("north")
    yield Happened("follows", f"north has {story.same('north', 'south')}")
    yield Happened("kept aside", ", ".join(row.split("\t")[3] for row in kept if "\t" in row) or "nothing")
    yield Happened("verify", story.said("north", "recovery", "verify", "--rows")[-1])

    yield Chapter("A switchover hands the tables back, with nothing lost")
    story.stop("south")
    story.tell("south", "recovery", "switchover")
    story.serve("south")
    story.ingest("north", _DAYS[4])
    yield Happened("primary", f"north is the primary again; both have {story.same('south', 'north')}")
