"""Packs a bundle and kills itself in the middle of a member. Started by a test: packing_process.py FILE."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from bundle_making import KEY, header
from isthmus.transfer.bundle import pack


def content() -> Iterator[bytes]:
    for turn in range(100):
        yield bytes([turn]) * (1 << 20)
        if turn == 50:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), header(codec="none"), {"entries.bson": content}, KEY)
