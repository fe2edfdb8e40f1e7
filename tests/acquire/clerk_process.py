"""Writes rows in batches of ten and kills itself before or after the second commit."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from isthmus.acquire.clerk import Clerk
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.warehouse.catalog import Catalog

if __name__ == "__main__":
    folder, point = Path(sys.argv[1]), sys.argv[2]
    clerk = Clerk(SqliteLedger(folder / "ledger.sqlite"), Catalog(folder / "warehouse"))
    real, calls = clerk.table.replace, 0

    def replace(*arguments: Any) -> int:
        global calls  # noqa: PLW0603
        calls += 1
        if calls == 2 and point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        rows = real(*arguments)
        if calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    clerk.table.replace = replace  # type: ignore[method-assign]
    clerk.write(most=10)
