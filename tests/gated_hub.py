"""An environment's gate that needs a person: a part came out of order, one is missing, one was altered."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from acquire_gates import GOT, Gated
from asked_images import opened
from gallery_sites import until
from isthmus.acquire.gate.incoming import Incoming
from isthmus.acquire.gate.outgoing import Outgoing, put
from isthmus.acquire.ledger_port import Ledger
from isthmus.app.acquiring.config import read_acquire_config
from isthmus.app.acquiring.gates import GateSite, gate_site
from isthmus.app.acquiring.gateside import GateSide
from isthmus.state.store import Store


class Folder:
    """A site that has an interface server which does not run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def opened(self) -> contextlib.AbstractContextManager[Ledger]:
        """Open the ledger."""
        return opened(self.folder / "isthmus.toml")


def gated_hub(folder: Path, label: str = "north") -> Gated:
    """Add the gate of an environment to the site in `folder`; its agent's site lies beside.

    A request went out. Of three results the first came, the second was altered on its way, the third waits for it.
    """
    made = Gated(Folder(folder), label, "")  # type: ignore[arg-type]
    office, agent = (gate_site(read_acquire_config(one / "isthmus.toml"), label) for one in ends(made))
    turn(office, "7.1")
    for number in (1, 2, 3):
        turn(agent, f"{number}.1")
    before, behind = made.roads[GOT]
    for number, file in enumerate(sorted(before.glob("*[0-9].tar"))):
        shutil.copy(file, behind / file.name)
        if number == 1:
            content = bytearray(file.read_bytes())
            content[content.index(b"entries.bson.zst\0") + 512 + 20] ^= 1  # behind its tar header

            (behind / file.name).write_bytes(content)
    until(lambda: turn(office) or made.status(GOT).quarantined, "the altered file was set aside")
    return made


def ends(made: Gated) -> tuple[Path, Path]:
    """Return the folders of both sides' sites: the server's, the agent's."""
    return made.hub.folder, made.agent.folder


def turn(site: GateSite, name: str = "") -> None:
    """Do a round at one side: put a record where one is named, receive, send."""
    site.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Store(site.state) as store:
        source = Outgoing(store, site.sends)
        if name:
            with store.transaction() as connection:
                put(connection, source.stream, name, iter((b"{}",)), 2)
        side = GateSide(site, store, source, Incoming(store, site.receives))
        side.receive(_quiet)
        side.send(_quiet)


def _quiet(event: str, /, *, level: str = "info", **fields: object) -> None:
    """Take no notice."""
