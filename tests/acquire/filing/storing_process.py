"""Stores a group of images and kills itself at the n-th time that a step comes.

Called as: storing_process.py <root> <step> <count>; a step of "" lives to the end and prints what was filed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from filing_pictures import drafts_of
from isthmus.acquire.filing.contents import Contents, Entry

if __name__ == "__main__":
    root, fatal, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def step(name: str) -> None:
        global left  # noqa: PLW0603
        if name == fatal:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    contents = Contents(root, step=step)
    outcomes = contents.store([Entry(draft) for draft in drafts_of(root)])
    contents.close()
    sys.stdout.buffer.write(msgspec.json.encode(outcomes))
