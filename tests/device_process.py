"""Synchronises a device in a process of its own and kills it (-9) when it reaches a step for the nth time.

    python device_process.py FOLDER STEP NTH [key in hexadecimal]

The set is made anew from the same seeds each time; epochs and keys are in the server's file, so it is one server.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import bson

from gallery_doubles import PEOPLE, World
from isthmus.gallery.sync.mode import Mode

LOST = "airport.lost"
"""A gallery that is taken away from the device."""


def world_of(folder: Path, later: bool) -> World:
    """The world before, or after, some images changed and one was removed."""
    world = World(folder)
    world.policy.table = {PEOPLE: Mode.BOTH}
    world.fill(6, size=1000, vectors=True)
    world.fill(2, LOST, vectors=True)
    if not later:
        world.policy.table[LOST] = Mode.BOTH
    else:
        world.add(1, size=140_000, vectors=True, salt="new")
        world.add(9, size=1000, vectors=True)
        world.set.remove(PEOPLE, 2)
        world.set.remove(PEOPLE, 3)
    return world


def main() -> None:
    folder, step, nth = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    key = bytes.fromhex(sys.argv[4]) if len(sys.argv) > 4 else None
    left = nth

    def at(name: str) -> None:
        nonlocal left
        if name == step:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    world = world_of(folder, later=True)
    device = world.device(key=key, step=at)
    if step == "thumbnail written":
        number = bson.encode({"_id": 2})  # one that is removed by the next session
        item = device.item(PEOPLE, device.place(PEOPLE, number))
        assert item is not None
        assert item.image is not None
        device.contents.thumbnail(item.image, lambda content: content[:200])
    world.sync(device)


if __name__ == "__main__":
    main()
