"""Becomes a program that its parent's death ends: run by its path, `python launch.py PARENT PROGRAM WORD …`.

A process that is killed cannot end its children itself, so that Linux is asked to: PR_SET_PDEATHSIG outlives exec.
Nothing of the package is imported: this runs in the moment before the program takes its place.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def launch(parent: int, command: list[str]) -> None:
    """Become `command`, which gets SIGTERM when the process `parent` is no more. Never returns where it can."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be heeded
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2:])
