"""Two sites of a pair in one process: folders, keys, TOML files, a clock by hand, and a link that can be cut.

    two = Two(tmp_path)
    two.add(two.a, "things", "one", "two")   # a is the primary; a table that is not there is made and opted in
    two.settle()
    assert two.rows(two.b, "things") == ["one", "two"]

What a site sends lies in `<folder>/<name>/out`. `carry` copies what is new there to the other's `in`, as a shared
folder or a gatekeeper would, and counts the bytes of bundles by their sender. Nothing here is a thread.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from isthmus.app.recovery import roles
from isthmus.app.recovery.config import read_recovery_config
from isthmus.app.recovery.site import RecoverySite
from isthmus.core.errors import IsthmusError
from isthmus.recovery import publications
from isthmus.recovery.eligibility import opt_in
from isthmus.recovery.fork import Parted
from isthmus.recovery.objects import Object
from isthmus.state.files import private_folder
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from transfer_doubles import HandClock

SCHEMA = Schema(
    (
        Field("name", FieldType.STRING, nullable=False),
        Field("size", FieldType.INT),
        Field("body", FieldType.COMPLEX),
    ),
    "name",
)
ARROW = pa.schema([pa.field(item.name, item.arrow()) for item in SCHEMA.fields])
INTERVAL_S = 600.0
MOST_TURNS = 40

_TOML = """[site]
name = "{name}"
[recovery]
peer = "{peer}"
role = "{role}"
out_place = "out"
in_place = "in"
trust = ["{trust}"]
backup_s = {interval}
restore_s = 0.5
cores = 1
parallel = 1
{more}
[recovery.carry]
silent_s = 1e9
heartbeat_s = 1e9
"""


def full(table: str) -> TableName:
    """Return the name of a table: a plain one lies in main.fleet."""
    return TableName.parse(table if "." in table else f"main.fleet.{table}")


def batch(*names: str, bulk: int = 0) -> pa.RecordBatch:
    """Rows with these names, each with `bulk` bytes that no codec makes smaller and that follow from its name."""
    rows = [{"name": name, "size": bulk, "body": random.Random(name).randbytes(bulk)} for name in names]
    return pa.RecordBatch.from_pylist(rows, schema=ARROW)


def make_sites(folder: Path, more: str = "") -> None:
    """Make folders, keys and TOML files of the sites a (primary) and b (standby); `more`: keys of [recovery]."""
    keys = {}
    for name in ("a", "b"):
        private_folder(folder / name / "keys")
        keys[name] = SigningKey.create()
        keys[name].save(folder / name / "keys" / "recovery.pem")
        for place in ("in", "out"):
            (folder / name / place).mkdir()
    for name, peer, role in (("a", "b", "primary"), ("b", "a", "standby")):
        text = _TOML.format(
            name=name, peer=peer, role=role, trust=keys[peer].public, interval=INTERVAL_S, more=more
        )
        (folder / name / "isthmus.toml").write_text(text)


def open_site(
    folder: Path, name: str, clock: HandClock, step: Callable[[str], None] = lambda told: None
) -> RecoverySite:
    """Open a site that `make_sites` made, as a process does that starts."""
    return RecoverySite(read_recovery_config(folder / name / "isthmus.toml"), clock, step)


class Two:
    """Sites a and b; a is the primary at first. `told` keeps what every turn said, `sent` the bytes of bundles."""

    def __init__(self, folder: Path, more: str = "", like: Two | None = None) -> None:
        """Make two sites; or copy those of `like`, which was closed, as they are."""
        self.folder, self.clock, self.linked = folder, HandClock(), True
        self.sent: Counter[str] = Counter()
        self.told: list[str] = []
        self._carried: dict[str, tuple[int, int, int]] = {}
        if like is None:
            folder.mkdir(parents=True, exist_ok=True)
            make_sites(folder, more)
        else:
            shutil.copytree(like.folder, folder, dirs_exist_ok=True)
            self.clock.at = like.clock.at
            self._carried = {key: _mark(folder / key.replace("/", "/out/")) for key in like._carried_now()}
        self.a = open_site(folder, "a", self.clock)
        self.b = open_site(folder, "b", self.clock)
        if like is None:
            publications.create(self.a.store, self.a.catalog, "everything", [Object()])

    def close(self) -> None:
        """Let both processes end."""
        self.a.close()
        self.b.close()

    def other(self, site: RecoverySite) -> RecoverySite:
        """Return the site that a site is paired with."""
        return self.b if site is self.a else self.a

    def reopen(self, site: RecoverySite) -> RecoverySite:
        """Let the process of a site end and start again; return the new one, which takes the place of the old."""
        name = site.config.site.name
        site.close()
        fresh = open_site(self.folder, name, self.clock)
        setattr(self, name, fresh)
        return fresh

    def add(self, site: RecoverySite, table: str, *names: str, bulk: int = 0) -> None:
        """Add rows to a table, which is made and opted in where it is not there. Raises Refused as for writers."""
        name = full(table)
        if name not in site.catalog.names():
            site.catalog.create(name, SCHEMA)
            opt_in(site.store, site.catalog, str(name))
        site.catalog.open(name).append([batch(*names, bulk=bulk)])

    def rows(self, site: RecoverySite, table: str) -> list[str]:
        """Return the names of a table's rows, sorted, as a reader here sees them now; all are read whole."""
        found = [row for part in site.catalog.open(full(table)).scan() for row in part.to_pylist()]
        for row in found:
            body = random.Random(row["name"]).randbytes(row["size"])
            assert row["body"] == body, f"{row['name']} is not as it was written"
        return sorted(row["name"] for row in found)

    def tables(self, site: RecoverySite) -> dict[str, list[str]]:
        """Return the rows of every table of a site, by its full name."""
        return {str(name): self.rows(site, str(name)) for name in site.catalog.names()}

    def cut_link(self) -> None:
        """Carry nothing any more, either way; what is sent meanwhile lies in `out` until the link is mended."""
        self.linked = False

    def mend_link(self) -> None:
        """Carry again."""
        self.linked = True

    def carry(self) -> int:
        """Copy what is new of each site to the other; return how many files."""
        done = 0
        for name, peer in (("a", "b"), ("b", "a")) if self.linked else ():
            for file in sorted((self.folder / name / "out").iterdir()):
                mark, key = _mark(file), f"{name}/{file.name}"
                if file.name.startswith(".") or self._carried.get(key) == mark:
                    continue
                part = self.folder / peer / "in" / f".{file.name}.coming"
                shutil.copyfile(file, part)
                part.replace(part.with_name(file.name))
                self._carried[key] = mark
                if "-report-" not in file.name and "-inventory-" not in file.name:
                    self.sent[name] += mark[2]
                done += 1
        return done

    def _carried_now(self) -> list[str]:
        return [key for key in self._carried if (self.folder / key.replace("/", "/out/")).exists()]

    def turn(self, site: RecoverySite) -> list[str]:
        """Let a site take one turn, a second later, and carry what it sent. Raises what the turn raises."""
        self.clock.forward(1.0)
        told = site.pair.turn()
        self.told += [f"{site.config.site.name}: {event}" for event in told]
        self.carry()
        return told

    def settle(self) -> list[str]:
        """Let the interval of rounds pass, and both sites take turns until both stand still.

        Returns what was said. An error of a turn is said too: the next turn has to get over it. Raises
        AssertionError where the two come to no rest.
        """
        self.clock.forward(INTERVAL_S)
        begin = len(self.told)
        for _ in range(MOST_TURNS):
            events = []
            for site in (self.a, self.b):
                try:
                    events += self.turn(site)
                except IsthmusError as error:
                    events.append(str(error))
                    self.told.append(f"{site.config.site.name} raised: {error}")
            if not events:
                return self.told[begin:]
        raise AssertionError(f"the sites came to no rest: {self.told[-12:]}")

    def switch_over(self, site: RecoverySite) -> None:
        """Hand over from a site to the other, as its operator orders it; the other takes its turns meanwhile."""
        roles.switch_over(site, 30.0, self._say(site), lambda seconds: self._meanwhile(site))

    def fail_over(self, site: RecoverySite) -> str:
        """Let a site take over, as its operator orders it; return what it said."""
        self.clock.forward(1.0)
        told = roles.fail_over(site)
        self.told.append(f"{site.config.site.name}: {told}")
        return told

    def fail_back(self, site: RecoverySite) -> list[tuple[Parted, TableName]]:
        """Let a site follow the one that took over; return what it had alone, and where that is kept."""
        self.clock.forward(1.0)
        return roles.fail_back(site, 0.0, self._say(site), lambda seconds: None)

    def roles(self) -> tuple[str, str]:
        """Return the roles of a and b."""
        return self.a.pair.fence.role, self.b.pair.fence.role

    def _meanwhile(self, site: RecoverySite) -> None:
        self.carry()
        self.turn(self.other(site))

    def _say(self, site: RecoverySite) -> Callable[[str], None]:
        return lambda event: self.told.append(f"{site.config.site.name}: {event}")


def _mark(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
