"""The state diagrams of docs/design.md, drawn from the machines' rows.

Run as a program, `python tests/diagrams.py` draws them anew in the document.
"""

from __future__ import annotations

import re
from pathlib import Path

from isthmus.core.machine import Machine
from isthmus.loop.ingest.states import INGEST
from isthmus.loop.release.lifecycle import MODEL
from isthmus.loop.runs.states import RUN

DESIGN = Path(__file__).resolve().parents[1] / "docs" / "design.md"
MACHINES: dict[str, Machine] = {machine.name: machine for machine in (INGEST, RUN, MODEL)}

_BLOCK = re.compile(r"(<!-- states of (\w+), drawn from its rows -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def drawn(machine: Machine) -> str:
    """Draw a machine as the document shows it: the diagram, then what its rows say."""
    rows = [f"| {row.source} | {row.event} | {row.target} | {row.why} |" for row in machine.rows]
    table = "\n".join(["| in | event | leads to | when |", "|---|---|---|---|", *rows])
    return f"```mermaid\n{machine.diagram()}```\n\n{table}\n"


def redrawn(text: str) -> str:
    """Return the document with every diagram drawn anew."""
    return _BLOCK.sub(lambda found: found[1] + drawn(MACHINES[found[2]]) + found[4], text)


def named(text: str) -> list[str]:
    """List the machines that the document shows."""
    return [found[2] for found in _BLOCK.finditer(text)]


if __name__ == "__main__":
    DESIGN.write_text(redrawn(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
