"""Pairs of sites of recovery in folders, as an operator sets them up; their servers are processes of their own."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from acquire_sites import Process
from gallery_sites import Said, free_port, here, until, write
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table

TOML = """[site]
name = "{name}"
timezone = "UTC"
[recovery]
peer = "{peer}"
role = "{role}"
trust = [{trust}]
backup_s = {backup_s}
restore_s = 0.2
part_mb = 0.05
cores = 1
{places}
{more}
"""
TOKEN = "a token that opens the door of the pair".replace(" ", "-")
SCHEMA = Schema((Field("name", FieldType.STRING, nullable=False), Field("amount", FieldType.INT)), "name")
LEFT, RIGHT = TableName("main", "bank", "payers"), TableName("main", "bank", "payees")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Site(Process):
    """One site of a pair. `places` is TOML of its road; `more` other keys of [recovery]."""

    def __init__(self, folder: Path, peer: str, role: str, places: str, backup_s: float, more: str) -> None:
        super().__init__(folder, ("serve", "recovery"), "log")
        self.name, self.peer, self.role = folder.name, peer, role
        self._places, self._backup_s, self._more = places, backup_s, more
        self.trusted: list[str] = []
        self.url = ""
        folder.mkdir(parents=True, exist_ok=True)
        key = SigningKey.create()
        (folder / "keys").mkdir(exist_ok=True)
        key.save(folder / "keys" / "recovery.pem")
        self.public = str(key.public)

    def write(self, **other: Any) -> None:
        """Write the site's TOML; `other` replaces what was said before."""
        values = {"places": self._places, "backup_s": self._backup_s, "more": self._more} | other
        trust = ", ".join(f'"{one}"' for one in self.trusted)
        write(self.folder, TOML.format(name=self.name, peer=self.peer, role=self.role, trust=trust, **values))

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.folder / "warehouse")

    def start(self) -> None:
        """Start its server, and wait until that serves."""
        super().start()
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        assert line[:1] == ["serving"], self.log.read_text()
        self.url = line[1]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and content of what the site's door answers to anybody."""
        try:
            with _OPENER.open(f"{self.url}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def run(self, *words: str, code: int = 0) -> Said:
        """Run a command of recovery in this process."""
        return here(self.folder, "recovery", *words, code=code)

    def progress(self) -> dict[str, Any]:
        """Return what `show-progress` tells."""
        found: dict[str, Any] = json.loads(self.run("-t", "show-progress").stdout)
        return found

    def table(self, name: TableName = LEFT) -> Table:
        return self.catalog.open(name)

    def rows(self, name: TableName = LEFT) -> dict[str, int]:
        """Return a table as this site shows it; nothing where it shows none."""
        if name not in self.catalog.names():
            return {}
        return {
            row["name"]: row["amount"]
            for batch in self.table(name).scan(["name", "amount"])
            for row in batch.to_pylist()
        }

    def shows(self, rows: dict[str, int], name: TableName = LEFT, patience_s: float = 60.0) -> None:
        """Wait until a table has these rows."""
        until(lambda: self.rows(name) == rows, f"{self.name} shows {len(rows)} rows", patience_s)

    def says(self, text: str) -> None:
        """Wait until the server's log says something."""
        until(lambda: text in self.log.read_text(), f"{self.name} says {text!r}: {self.log.read_text()}", 60)


def batch(**amounts: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"name": name, "amount": amount} for name, amount in amounts.items()],
        schema=pa.schema([pa.field(field.name, field.arrow()) for field in SCHEMA.fields]),
    )


def pair(
    folder: Path, road: str = "folder", *, backup_s: float = 0.3, more: str = "", **places: str
) -> tuple[Site, Site]:
    """Set up a primary, north, and a standby, south, that know each other's keys, over a road.

    `places` replaces the TOML of a site's road, by the site's name.
    """
    to_south, to_north = folder / "to-south", folder / "to-north"
    here, there = _roads(folder, road, to_south, to_north)
    north = Site(folder / "north", "south", "primary", places.get("north", here), backup_s, more)
    south = Site(folder / "south", "north", "standby", places.get("south", there), backup_s, more)
    for one, other in ((north, south), (south, north)):
        one.trusted = [other.public]
        one.write()
    return north, south


def _roads(folder: Path, road: str, to_south: Path, to_north: Path) -> tuple[str, str]:
    if road != "http":
        text = 'road = "{}"\nout_place = "{}"\nin_place = "{}"'
        return text.format(road, to_south, to_north), text.format(road, to_north, to_south)
    port = free_port()
    (folder / "token").write_text(TOKEN)
    own = f'road = "http"\nout_place = "{to_south}"\nin_place = "{to_north}"'
    door = f'door.port = {port}\ndoor.token_file = "{folder / "token"}"'
    url = f"http://127.0.0.1:{port}/v1/carry"
    calls = f'road = "http"\nout_place = "{url}/in"\nin_place = "{url}/out"\ntoken_file = "{folder / "token"}"'
    return f"{own}\n{door}", calls


def published(site: Site, *names: TableName) -> None:
    """Make tables at a site and publish everything."""
    for name in names or (LEFT,):
        site.catalog.create(name, SCHEMA)
    site.run("create-publication", "--all")


@contextlib.contextmanager
def running(*sites: Process) -> Iterator[None]:
    """Start servers in order, and kill in the end whatever of them still runs."""
    try:
        for site in sites:
            site.start()
        yield
    finally:
        for site in reversed(sites):
            site.kill()


def counted(**amounts: int) -> dict[str, int]:
    return amounts
