"""A carrying door in a process of its own, which kills itself (-9) at a named step.

    python tests/carry_process.py <folder> <step>

It prints the port that it listens on.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from carrying import TOKEN
from gate_process import killer
from isthmus.faces.http.carry import CarryHttpServer, Road
from isthmus.transfer.inbox import Inbox


def main(folder: str, at: str) -> None:
    """Serve until the step is reached."""
    road = Road.of(Inbox(Path(folder), step=killer(at)), TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        CarryHttpServer({"north": road}).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
