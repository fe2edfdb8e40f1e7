"""1:N search among 128-d vectors: the matrix against float32 brute force in NumPy, and FAISS where installed.

Vectors are made in two ways. *People*: random directions 1.4 long, four pictures each around them, as far apart as
pictures of one person are by the face network (0.38); a probe is one more picture. *Random*: no structure at all,
and a probe is nobody's, so that the two nearest differ by little: the hardest case for rounded vectors. Recall@1
is how often the nearest by float32 among the unrounded vectors is the first that the matrix returns. float16 is
what the extractor `faces` stores. Where the matrix was given the int8 vectors of `faces8` it cannot know better
between near ties, such as two pictures of one person: whose they are is counted too. *Of people* is the search
that compares each person by several of their pictures.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.figure import Figure, median_s, scratch, show
from isthmus.gallery import kernels
from isthmus.gallery.match import Matrix
from isthmus.gallery.people import Near, nearest_people
from isthmus.imaging.faces import SCALE, Faces, Faces8

SIZES = ((100_000, 5.0), (1_000_000, 50.0))
PROBES = 100
EACH = 4

Floats = NDArray[np.float32]


def run(scale: float = 1.0) -> list[Figure]:
    """Measure; `scale` shrinks the galleries."""
    figures: list[Figure] = []
    for size, goal_ms in SIZES:
        count = max(2_000, int(size * scale))
        for kind, make in (("people", _people), ("random", _random)):
            vectors, probes = make(count)
            with scratch("search") as folder:
                figures += _searches(folder, f"{count:,} {kind}", vectors, probes, goal_ms, kind == "people")
            del vectors
    return figures


def _people(count: int) -> tuple[Floats, Floats]:
    dice = np.random.default_rng(count)
    whose = np.arange(count) // EACH
    vectors = dice.standard_normal((count // EACH + 1, 128), np.float32)
    vectors *= 1.4 / np.linalg.norm(vectors, axis=1, keepdims=True)
    probed = dice.choice(count // EACH, PROBES, replace=False)
    probes = vectors[probed] + _noise(dice, PROBES)
    vectors = vectors[whose]
    for start in range(0, count, 100_000):
        part = vectors[start : start + 100_000]
        part += _noise(dice, len(part))
    return vectors, probes


def _noise(dice: np.random.Generator, count: int) -> Floats:
    # two pictures of one person differ by sqrt(2) times the length of this: 0.38
    return dice.standard_normal((count, 128), np.float32) * np.float32(0.27 / np.sqrt(128))


def _random(count: int) -> tuple[Floats, Floats]:
    dice = np.random.default_rng(count + 1)
    deviation = np.float32(1.4 / np.sqrt(128))
    return (
        dice.standard_normal((count, 128), np.float32) * deviation,
        dice.standard_normal((PROBES, 128), np.float32) * deviation,
    )


def _int8(vectors: Floats) -> Iterator[bytes]:
    for start in range(0, len(vectors), 50_000):
        yield from map(bytes, np.rint(vectors[start : start + 50_000] * SCALE).clip(-127, 127).astype(np.int8))


def _float16(vectors: Floats) -> Iterator[bytes]:
    for start in range(0, len(vectors), 50_000):
        yield from map(bytes, vectors[start : start + 50_000].astype("<f2"))


def _searches(
    folder: Path, what: str, vectors: Floats, probes: Floats, goal_ms: float, people: bool
) -> list[Figure]:
    norms = np.einsum("ij,ij->i", vectors, vectors)
    nearest = np.array([_exact(vectors, norms, probe) for probe in probes])
    peer_ms = 1000 * median_s(lambda: int(np.argmin(norms - 2 * (vectors @ probes[0]))), 9)
    figures = []
    for kind, model, store in (("float16", Faces().model, _float16), ("int8", Faces8().model, _int8)):
        with Matrix(folder / kind, model) as matrix:
            keys = (b"%d" % number for number in range(len(vectors)))
            matrix.change(zip(keys, store(vectors), strict=True))
            asked = list(store(probes))
            found = np.array([int(matrix.search(probe, 1)[0].key) for probe in asked])
            took_ms = 1000 * median_s(_each(asked, matrix.search), 51)
            name, goal = f"search among {what}, {kind}", f"under {goal_ms:g} ms"
            figures.append(Figure(name, took_ms, "ms", "NumPy float32", peer_ms, goal, took_ms < goal_ms))
            figures.append(_recall("  recall@1", float(np.mean(found == nearest)), kind == "float16"))
            if people:
                same = float(np.mean(found // EACH == nearest // EACH))
                figures.append(_recall("  recall@1, by person", same, True))
            if people and kind == "float16":
                by_person_ms = 1000 * median_s(_each(asked, partial(_of_people, matrix)), 21)
                name = f"search of people among {what}, {kind}"
                figures.append(Figure(name, by_person_ms, "ms", goal=goal, holds=by_person_ms < goal_ms))
            if people and kind == "int8":
                figures += _others(matrix, asked, vectors, probes)
    return figures


def _recall(what: str, recall: float, promised: bool) -> Figure:
    return Figure(what, recall, "", "NumPy float32", 1.0, *(("1.0", recall == 1.0) if promised else ()))


def _exact(vectors: Floats, norms: Floats, probe: Floats) -> int:
    """Return the nearest by float32 brute force: the sums' rounding is undone among the first few."""
    first = np.argpartition(norms - 2 * (vectors @ probe), 20)[:20]
    return int(first[np.argmin(((vectors[first] - probe) ** 2).sum(axis=1))])


def _each(asked: list[bytes], search: Callable[[bytes], object]) -> Callable[[], object]:
    turn = iter(asked * 100)
    return lambda: search(next(turn))


def _of_people(matrix: Matrix, probe: bytes) -> list[Near]:
    def mates(keys: Collection[bytes]) -> dict[bytes, list[bytes]]:
        first = {key: int(key) // EACH * EACH for key in keys}
        return {key: [b"%d" % (start + number) for number in range(EACH)] for key, start in first.items()}

    return nearest_people(
        partial(matrix.search, probe), partial(matrix.apart, probe), mates, 5, matrix.model.threshold
    )


def _others(matrix: Matrix, asked: list[bytes], vectors: Floats, probes: Floats) -> list[Figure]:
    """Measure the fallback without kernels, and FAISS."""
    figures = []
    kept, kernels._simsimd = kernels._simsimd, None
    try:
        figures.append(Figure("  without kernels (NumPy)", 1000 * median_s(_each(asked, matrix.search), 5), "ms"))
    finally:
        kernels._simsimd = kept
    if importlib.util.find_spec("faiss") is not None:
        import faiss

        index = faiss.IndexFlatL2(128)
        index.add(vectors)
        flat = 1000 * median_s(lambda: index.search(probes[:1], 5), 9)
        figures.append(Figure("  FAISS, flat float32", flat, "ms"))
        del index
        index = faiss.IndexScalarQuantizer(128, faiss.ScalarQuantizer.QT_8bit)
        index.train(vectors[:10_000])
        index.add(vectors)
        figures.append(Figure("  FAISS, 8 bits", 1000 * median_s(lambda: index.search(probes[:1], 5), 9), "ms"))
    return figures


if __name__ == "__main__":
    import sys

    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
