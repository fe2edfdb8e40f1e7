"""What the tests of the warehouse run in processes of their own, to be killed there."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

from isthmus.state.lock import held
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.olap import Olap
from warehouse_rows import NAME


def hold(lock: str, taken: Any) -> None:
    """Hold a lock until killed."""
    with held(Path(lock), "it"):
        taken.set()
        multiprocessing.Event().wait()


def follow_until(root: str, step: str, reached: Any) -> None:
    """Follow, and stop for good at a step."""

    def at_step(now: str) -> None:
        if now == step:
            reached.set()
            multiprocessing.Event().wait()

    Olap(Path(root) / "olap.duckdb", at_step).follow(Catalog(Path(root)).open(NAME), "small")


def killed_at(target: Any, *args: Any) -> int | None:
    """Run a target in a process of its own until it says where it is, then kill it; returns its exit code."""
    context = multiprocessing.get_context("spawn")
    reached = context.Event()
    process = context.Process(target=target, args=(*args, reached))
    process.start()
    while not reached.wait(0.1) and process.is_alive():
        pass
    process.kill()
    process.join()
    return process.exitcode
