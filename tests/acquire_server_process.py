"""Runs an interface server in a process of its own, to be killed: python acquire_server_process.py FOLDER.

Prints its port and keys as one JSON line. Where FOLDER/hold exists, filing stores the image and never returns.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from acquire_serving import RememberingFiling, serving
from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Arrived, Filed
from isthmus.acquire.server.settings import ServerSettings


class Holding(RememberingFiling):
    async def file(self, arrived: Sequence[Arrived]) -> list[Filed | Failure]:
        filed = await super().file(arrived)
        if (self.folder.parent / "hold").exists():
            (self.folder.parent / "held").touch()
            await asyncio.Event().wait()
        return filed


def main(folder: Path) -> None:
    settings = ServerSettings(public_url="http://127.0.0.1:1", lease_s=3600, poll_s=0.2)
    with serving(folder, settings, filing=Holding(folder / "images"), secret=b"s" * 32) as site:
        print(json.dumps({"port": site.port, "keys": site.keys, "signing": site.secret.text()}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
