"""A process that changes a gallery or applies a bundle and dies, as by a power cut, at a named step.

    python gallery_process.py ROLE FOLDER STEP [packed]

Roles: add, remove (at set 1 in FOLDER/inner), apply, snapshot (the delivery in FOLDER/delivery, at FOLDER/outer).
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

from gallery_making import SteppingClock, jpeg, sqlite_set
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.target import SetTarget


def main(role: str, folder: Path, fatal: str, packed: str = "") -> None:
    def step(name: str) -> None:
        if name == fatal and armed:
            os.kill(os.getpid(), signal.SIGKILL)

    armed = False
    if role in ("add", "remove"):
        held = sqlite_set(folder / "inner", step=step)
        site = InnerSite(held, SteppingClock(), "anna")
        armed = True
        if role == "add":
            site.add("faces.staff", "new", jpeg(42))
        else:
            site.remove("faces.staff", "p0")
    else:
        held = sqlite_set(folder / "outer", check=True, packed=bool(packed), step=step)
        armed = True
        SetTarget(held).apply(pickle.loads((folder / "delivery").read_bytes()))  # noqa: S301 - written by the test
    held.close()
    held.store.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
