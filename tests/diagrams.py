"""What of the documents is drawn from the code: state diagrams from machines' rows, tables of keys from settings.

Run as a program, `python tests/diagrams.py` draws them anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.fetch.limits import BREAKER
from isthmus.acquire.fetch.settings import Allow, Rewrite, Storage
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.states import REQUESTS
from isthmus.app.acquiring.config import AcquirePart, AgentPart, KeepPart
from isthmus.app.galleries.config import DevicePart, GalleryPart, GatePart, SyncPart
from isthmus.app.keys import rows_of
from isthmus.app.product.standing import PART
from isthmus.app.recovery.config import CarryPart, DoorPart, RecoveryPart
from isthmus.app.upconfig import Restarting, UpPart
from isthmus.core.machine import Machine
from isthmus.gallery.sync.states import SESSION
from isthmus.loop.ingest.states import INGEST
from isthmus.loop.release.lifecycle import MODEL
from isthmus.loop.runs.states import RUN
from isthmus.recovery.ini import docs_table
from isthmus.recovery.states import BACKUP, RESTORE, ROLE
from isthmus.transfer.arrival import ARRIVAL
from isthmus.transfer.ice.settings import IceSettings
from isthmus.transfer.ledger import OUTGOING

DOCS = Path(__file__).resolve().parents[1] / "docs"
DESIGN = DOCS / "design.md"
DRAWN_IN = (
    DESIGN, DOCS / "gate.md", DOCS / "devices.md", DOCS / "acquire.md", DOCS / "recovery.md", DOCS / "operate.md"
)  # fmt: skip
MACHINES: dict[str, Machine] = {
    machine.name: machine
    for machine in (INGEST, RUN, MODEL, OUTGOING, ARRIVAL, SESSION, REQUESTS, BREAKER, BACKUP, RESTORE, ROLE, PART)
}
TABLES: dict[str, type] = {
    "gallery": GalleryPart,
    "gate": GatePart,
    "sync": SyncPart,
    "ice": IceSettings,
    "device": DevicePart,
    "acquire": AcquirePart,
    "acquire.server": ServerSettings,
    "acquire.filing": FilingRules,
    "acquire.keep": KeepPart,
    "agent": AgentPart,
    "agent.allow": Allow,
    "agent.rewrite": Rewrite,
    "agent.storage": Storage,
    "agent.work": AgentSettings,
    "recovery": RecoveryPart,
    "recovery.door": DoorPart,
    "recovery.carry": CarryPart,
    "up": UpPart,
    "up.part": Restarting,
}

_STATES = re.compile(r"(<!-- states of ([\w ]+), drawn from its rows -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_KEYS = re.compile(r"(<!-- keys of ([\w.]+), drawn from the settings -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_CLASSIC = re.compile(r"(<!-- keys of the classic file, drawn from its table -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def drawn(machine: Machine) -> str:
    """Draw a machine as the document shows it: the diagram, then what its rows say."""
    rows = [f"| {row.source} | {row.event} | {row.target} | {row.why} |" for row in machine.rows]
    table = "\n".join(["| in | event | leads to | when |", "|---|---|---|---|", *rows])
    return f"```mermaid\n{machine.diagram()}```\n\n{table}\n"


def listed(settings: type) -> str:
    """List the keys of a table of the TOML, their defaults written as in TOML."""
    rows = [f"| `{key}` | {_toml(default)} | {meaning} |" for _, key, default, meaning in rows_of(settings)]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def redrawn(text: str) -> str:
    """Return a document with everything that is drawn in it drawn anew."""
    text = _STATES.sub(lambda found: found[1] + drawn(MACHINES[found[2]]) + found[4], text)
    text = _CLASSIC.sub(lambda found: found[1] + docs_table() + found[3], text)
    return _KEYS.sub(lambda found: found[1] + listed(TABLES[found[2]]) + found[4], text)


def named(text: str) -> list[str]:
    """List the machines that a document shows."""
    return [found[2] for found in _STATES.finditer(text)]


def keyed(text: str) -> list[str]:
    """List the tables whose keys a document shows."""
    return [found[2] for found in _KEYS.finditer(text)]


def _toml(default: str) -> str:
    if default == "required":
        return default
    written = {"True": "true", "False": "false", "()": "[]"}.get(default, default.replace("'", '"'))
    return f"`{written}`"


if __name__ == "__main__":
    for page in DRAWN_IN:
        page.write_text(redrawn(page.read_text(encoding="utf-8")), encoding="utf-8")
