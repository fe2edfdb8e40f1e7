"""Changes a matrix and dies by SIGKILL at the named step: python matrix_process.py FOLDER STEP."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from isthmus.gallery.match import Matrix
from isthmus.imaging.port import Metric, Model

MODEL = Model("test", Metric.EUCLIDEAN, 16, 0.5, 100.0)


def vector(number: int) -> bytes:
    """Make a vector that no other number has."""
    return bytes((number * 7 + place * 13) % 100 + 1 for place in range(16))


def main(folder: str, step: str) -> None:
    """Replace 20 and 21, delete 0 to 9, add 100 to 119; the position goes from one to two."""

    def reached(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with Matrix(Path(folder), MODEL, reached) as matrix:
        put = [(b"%d" % number, vector(number + 200)) for number in (20, 21, *range(100, 120))]
        matrix.change(put, [b"%d" % number for number in range(10)], "two")


if __name__ == "__main__":
    main(*sys.argv[1:])
