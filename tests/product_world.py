"""Sites of every kind, made on one machine for tests of the console: what it shows is real, only small.

`north` runs the loop, keeps tables on `south` and has the console; `inner`, `outer` and a device hold a gallery;
`hub` is an interface server with batches. No picture of a person is among them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from acquire_sites import Process
from asked_images import asked
from crossed_galleries import crossed
from gallery_sites import here
from loop_site import made_runs, ready_site
from recovery_sites import pair, running

PASSWORD = "a long enough password"
CONSOLE = """
[console]
port = 0
sites = [{sites}]
"""


def made_world(folder: Path) -> Path:
    """Make all sites; returns the folder of the one with the console."""
    primary, standby = pair(folder, backup_s=300.0, more="[recovery.carry]\nheartbeat_s = 1.0")
    tables = (primary.folder / "isthmus.toml").read_text()
    toml = ready_site(primary.folder)
    made_runs(toml)
    loop = re.sub(r'^name = ".*"$', 'name = "north"', toml.read_text(), count=1, flags=re.MULTILINE)
    galleries = crossed(folder / "galleries")
    galleries.sync()
    hub = asked(folder / "hub", datetime.now(UTC))
    others = (standby.folder / "isthmus.toml", *galleries.tomls, hub)
    sites = ", ".join(f'"{one}"' for one in others)
    toml.write_text(loop + "\n" + tables[tables.index("[recovery]") :] + CONSOLE.format(sites=sites))
    standby.run("restore")
    primary.run("create-publication", "--all")
    for site, word in ((primary, "backup"), (standby, "restore"), (primary, "backup"), (standby, "restore")):
        site.run(word)
    primary.run("verify")
    standby.run("drill")
    (folder / "password").write_text(PASSWORD + "\n")
    for name, role in (("anna", "admin"), ("vera", "viewer")):
        here(primary.folder, "user", "add", name, "--role", role, "--password-file", str(folder / "password"))
    return primary.folder


class Console(Process):
    """`isthmus serve console` as a process of its own."""

    url = ""

    def start(self) -> None:
        """Start it, and wait until it serves."""
        super().start()
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        assert line[:1] == ["serving"], self.log.read_text()
        self.url = line[1]


@contextlib.contextmanager
def served_world(folder: Path) -> Iterator[Console]:
    """Make the sites, and serve the console over them."""
    console = Console(made_world(folder), ("serve", "console"), "console.log")
    with running(console):
        yield console
