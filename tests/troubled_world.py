"""A world of sites in trouble: alarms of every gate, things set aside, models of every state."""

from __future__ import annotations

import shutil
from pathlib import Path

from acquire_gates import Gated
from crossed_galleries import Crossed, photo
from gallery_sites import carry, here
from gated_hub import gated_hub
from product_world import made_world

LOST, ALTERED = 0, 1


def troubled_world(folder: Path) -> tuple[Path, ...]:
    """Make the world, and trouble in it; returns the TOMLs of its sites, that of the console first."""
    console = made_world(folder)
    gated = gated_hub(folder / "hub")
    galleries = Crossed(*(folder / "galleries" / name for name in ("inner", "outer", "device")))
    _models(galleries)
    _lost_and_altered(galleries)
    _altered_round(folder)
    return tuple(one / "isthmus.toml" for one in _folders(console, folder, galleries, gated))


def _folders(console: Path, folder: Path, galleries: Crossed, gated: Gated) -> tuple[Path, ...]:
    return console, folder / "south", *(one.parent for one in galleries.tomls), folder / "hub", gated.agent.folder


def _models(galleries: Crossed) -> None:
    """Publish models, of which a device uses one, passes one over and has one withdrawn."""
    here(galleries.outer, "device", "grant", "models.*", "--tag", "gate")
    for version, seed, name in (("1", 1, "see"), ("2", 2, "see"), ("7", 3, "hear")):
        galleries.publish(version, seed, name)
    galleries.cross()
    galleries.sync()
    here(galleries.device, "device", "rollback", "see")
    here(galleries.inner, "model", "withdraw", "hear", "--why", "deaf")
    galleries.cross()


def _lost_and_altered(galleries: Crossed) -> None:
    """Send three bundles through the gate: one is lost, one altered, the last comes."""
    before, behind = galleries.inner.parent / "gate-inner", galleries.inner.parent / "gate-outer"
    for number in range(3):
        galleries.add(f"more{number}", photo(10 + number))
        here(galleries.inner, "gate", "send")
        files = sorted(before.glob("*[0-9].tar"))
        if number == LOST:
            for file in before.iterdir():
                file.unlink()
        if number == ALTERED:
            content = bytearray(files[-1].read_bytes())
            content[content.index(b".zst\0") + 512 + 30] ^= 1
            files[-1].write_bytes(content)
        carry(before, behind)
    toml = galleries.tomls[1]
    toml.write_text(toml.read_text().replace("gap_alarm_s = 0\n", "gap_alarm_s = 0\nsettle_s = 0\n"))
    for _ in range(2):
        here(galleries.outer, "gate", "receive", code=3)


def _altered_round(folder: Path) -> None:
    """Let the standby find a file of recovery that was cut off on its way."""
    south = folder / "to-south"
    whole = next(file for file in sorted(south.iterdir()) if file.is_file())
    shutil.copy(whole, south / "recovery-000009-000000000099.tar")
    here(folder / "south", "recovery", "restore")
