"""A raw copy of a table's files, proven by BLAKE3 and synced, against `cp -r` and `sync` on the same files."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from blake3 import blake3

from bench.figure import Figure, median_s, medians_s, scratch, show
from isthmus.recovery.barrier import HeldFile
from isthmus.recovery.copying import copy_files, damages_of

LARGE, LARGE_BYTES = 12, 32 << 20
SMALL = 150
ROUNDS = 5
GOAL = 0.6
PEER = "cp -r, then sync"


def run(scale: float = 1.0) -> list[Figure]:
    size = max(1 << 20, int(LARGE_BYTES * scale))
    with scratch("recovery-copy") as folder:
        figures = _measured(folder / "mixed", LARGE, size, SMALL, f"copy of {LARGE} large and {SMALL} small files")
        return figures + _measured(folder / "small", 0, 0, SMALL, f"copy of {SMALL} small files alone", goal=None)


def _measured(
    folder: Path, large: int, size: int, small: int, what: str, goal: float | None = GOAL
) -> list[Figure]:
    source, target = folder / "source", folder / "target"
    files = _filled(source, large, size, small)
    total = sum(file.size for file in files)
    spent: dict[str, list[float]] = {"ours": [], "peer": []}
    turns = {
        "ours": lambda: copy_files(files, source, target),
        "peer": lambda: (
            subprocess.run(["cp", "-r", source, target], check=True),
            subprocess.run(["sync"], check=True),
        ),
    }

    def timed(name: str, copy: Callable[[], object]) -> None:
        shutil.rmtree(target, ignore_errors=True)
        os.sync()  # what others have to write is not counted
        start = time.perf_counter()
        copy()
        spent[name].append(time.perf_counter() - start)

    medians_s({name: (lambda name=name, copy=copy: timed(name, copy)) for name, copy in turns.items()}, ROUNDS, 5)  # type: ignore[misc]
    assert damages_of(files, target) == ()
    ours, peer = (float(np.median(spent[name])) for name in ("ours", "peer"))
    proof = median_s(lambda: damages_of(files, target), ROUNDS)
    return [
        Figure(what, total / ours / 1e6, "MB/s", PEER, total / peer / 1e6),
        Figure(
            "  part of the peer's speed",
            peer / ours,
            "×",
            PEER,
            1.0,
            f"at least {goal:g}×" if goal else "",
            peer / ours >= goal if goal else None,
        ),
        Figure("  proof of the same files by BLAKE3, without a copy", total / proof / 1e6, "MB/s"),
    ]


def _filled(folder: Path, large: int, size: int, small: int) -> list[HeldFile]:
    content = np.random.default_rng(0).bytes(size + large)
    sizes = {f"data/large{number}.lance": size for number in range(large)}
    sizes |= {f"data/small{number}.lance": 20_000 + 50 * number for number in range(small)}
    files = []
    (folder / "data").mkdir(parents=True)
    pool = content or np.random.default_rng(0).bytes(20_000 + 51 * small)
    for number, (path, length) in enumerate(sizes.items()):
        begin = number % (len(pool) - length + 1)
        piece = pool[begin : begin + length]
        (folder / path).write_bytes(piece)
        files.append(HeldFile(path, length, blake3(piece).digest()))
    return files


if __name__ == "__main__":
    import sys

    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
