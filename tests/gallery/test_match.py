from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from examples import examples
from isthmus.core.errors import Corrupt, InputError
from isthmus.gallery import kernels
from isthmus.gallery.match import Candidate, Matrix
from isthmus.imaging.port import Metric, Model

INT8 = Model("int8", Metric.EUCLIDEAN, 16, 0.5, 100.0)
FLOAT16 = Model("float16", Metric.EUCLIDEAN, 32, 0.5)
BITS = Model("bits", Metric.HAMMING, 8, 10)
PROCESS = Path(__file__).with_name("matrix_process.py")


def _key(number: int) -> bytes:
    return b"%d" % number


def _vector(number: int) -> bytes:
    return bytes((number * 7 + place * 13) % 100 + 1 for place in range(16))


@pytest.fixture(params=["simd", "numpy"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(kernels, "_simsimd", None)
    elif kernels._simsimd is None:
        pytest.skip("simsimd is not installed")


def _random(model: Model, count: int, seed: int = 1) -> list[bytes]:
    rng = np.random.default_rng(seed)
    if model.metric is Metric.HAMMING:
        return [rng.bytes(model.size) for _ in range(count)]
    if model.scale:
        rows = rng.integers(-127, 128, (count, model.size)).astype(np.int8)
    else:
        rows = rng.normal(0, 0.3, (count, model.size // 2)).astype("<f2")
    return [row.tobytes() for row in rows]


def _apart(model: Model, one: bytes, other: bytes) -> float:
    if model.metric is Metric.HAMMING:
        return float((int.from_bytes(one) ^ int.from_bytes(other)).bit_count())

    def wide(stored: bytes) -> NDArray[np.float64]:
        return np.frombuffer(stored, np.int8 if model.scale else "<f2").astype(np.float64) / (model.scale or 1)

    return float(np.linalg.norm(wide(one) - wide(other)))


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("model", [INT8, FLOAT16, BITS], ids=lambda model: model.name)
@pytest.mark.parametrize("block", [7, 100, 65_536])
def test_a_search_finds_what_comparing_with_each_vector_finds(
    model: Model, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.gallery.nearest.BLOCK_ROWS", block)
    stored = {_key(number): vector for number, vector in enumerate(_random(model, 300))}
    with Matrix(None, model) as matrix:
        matrix.change(stored.items())
        for probe in _random(model, 20, seed=2):
            found = matrix.search(probe, 7)
            apart = sorted(_apart(model, vector, probe) for vector in stored.values())
            assert [item.distance for item in found] == pytest.approx(apart[:7], abs=1e-5)
            assert all(_apart(model, stored[item.key], probe) == pytest.approx(item.distance) for item in found)
            assert found == sorted(found)
            keys = [item.key for item in found]
            assert sorted(matrix.apart(probe, [*keys, b"unknown"])) == found
            assert matrix.apart(probe, []) == []


@pytest.mark.usefixtures("kernel")
def test_distances_of_extreme_vectors_are_exact() -> None:
    model = Model("wide", Metric.EUCLIDEAN, 128, 0.5, 1.0)
    with Matrix(None, model) as matrix:
        matrix.change([(b"low", b"\x81" * 128), (b"high", b"\x7f" * 128)])
        found = matrix.search(b"\x7f" * 128)
    assert found == [Candidate(0.0, b"high"), Candidate(math.sqrt(128 * 254**2), b"low")]


@pytest.mark.usefixtures("kernel")
@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 1000),
    st.floats(0.001, 1.0),
    st.lists(st.tuples(st.integers(0, 79), st.floats(-60_000, 60_000, width=16)), max_size=3),
    st.integers(1, 12),
)
def test_a_search_by_rounded_vectors_is_exact_however_badly_they_were_rounded(
    seed: int, spread: float, outliers: list[tuple[int, float]], k: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, spread, (80, 16)).astype("<f2")
    rows[40:] = rows[rng.integers(0, 40, 40)] + rng.normal(0, spread / 300, (40, 16)).astype("<f2")  # near ties
    with Matrix(None, FLOAT16) as matrix:
        matrix.change((_key(number), row.tobytes()) for number, row in enumerate(rows))
        for at, value in outliers:  # far beyond what the first vectors let expect
            rows[at, at % 16] = value
            matrix.change([(_key(at), rows[at].tobytes())])
        for probe in [rows[3], rng.normal(0, spread, 16).astype("<f2"), *(rows[at] for at, _ in outliers)]:
            found = matrix.search(probe.tobytes(), k)
            apart = np.sort(np.linalg.norm(rows.astype(np.float64) - probe.astype(np.float64), axis=1))
            assert [item.distance for item in found] == pytest.approx(apart[:k], rel=1e-5, abs=1e-6)


def test_a_float16_vector_that_is_not_finite_is_refused() -> None:
    with Matrix(None, FLOAT16) as matrix:
        for wrong in (np.nan, np.inf, -np.inf):
            with pytest.raises(InputError, match="no finite number"):
                matrix.change([(b"one", np.full(16, wrong, "<f2").tobytes())])
        assert len(matrix) == 0


def test_the_rounded_rows_of_a_removed_vector_are_gone_too(tmp_path: Path) -> None:
    with Matrix(tmp_path, FLOAT16) as matrix:
        matrix.change([(_key(number), vector) for number, vector in enumerate(_random(FLOAT16, 10))], position="p")
        [rounded] = tmp_path.glob("rounded-*.bin")
        matrix.change(delete=[_key(number) for number in range(9)])
        assert np.frombuffer(rounded.read_bytes(), np.uint8).reshape(-1, 16).any(axis=1).sum() == 1
    rounded.unlink()
    with Matrix(tmp_path, FLOAT16) as matrix:
        assert (len(matrix), matrix.position) == (0, None)
        assert len(list(tmp_path.glob("ro*.bin"))) == 2


def test_both_kernels_give_the_same_distances() -> None:
    if kernels._simsimd is None:
        pytest.skip("simsimd is not installed")
    rng = np.random.default_rng(5)
    rows = rng.integers(-128, 128, (40_000, 128)).astype(np.int8)
    fast = kernels.squared(rows, rows[7])
    wide = rows.astype(np.int64) - rows[7]
    assert np.array_equal(fast, (wide * wide).sum(axis=1))


def test_fewer_vectors_than_asked_for_are_all_returned() -> None:
    with Matrix(None, INT8) as matrix:
        assert matrix.search(_vector(1)) == []
        matrix.change([(b"one", _vector(1)), (b"two", _vector(2))])
        assert [item.key for item in matrix.search(_vector(1), 5)] == [b"one", b"two"]
        assert matrix.search(_vector(1), 0) == []


def test_vectors_of_another_size_are_refused_and_change_nothing(tmp_path: Path) -> None:
    with Matrix(tmp_path, INT8) as matrix:
        matrix.change([(b"one", _vector(1))], position="p")
        for wrong in (b"", _vector(1)[:-1], _vector(1) * 2):
            with pytest.raises(InputError, match="have 16"):
                matrix.change([(b"two", _vector(2)), (b"three", wrong)], [b"one"], "q")
            with pytest.raises(InputError, match="have 16"):
                matrix.search(wrong)
        assert (len(matrix), matrix.position) == (1, "p")
        assert dict(matrix.vectors()) == {b"one": _vector(1)}


_changes = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 12), st.integers(0, 255)), max_size=8),
        st.lists(st.integers(0, 12), max_size=6),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=examples(30), deadline=None)
@given(_changes)
def test_a_matrix_holds_what_a_dictionary_holds_after_any_changes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[list[tuple[int, int]], list[int], bool]]
) -> None:
    folder = tmp_path_factory.mktemp("matrix")
    expected: dict[bytes, bytes] = {}
    matrix = Matrix(folder, INT8)
    for number, (put, delete, reopened) in enumerate(changes):
        vectors = [(_key(key), bytes((seed,)) * 16) for key, seed in put]
        matrix.change(vectors, map(_key, delete), str(number))
        for key in map(_key, delete):
            expected.pop(key, None)
        expected |= dict(vectors)
        if reopened:
            matrix.close()
            matrix = Matrix(folder, INT8)
        assert matrix.position == str(number)
        assert len(matrix) == len(expected)
        assert dict(matrix.vectors()) == expected
        assert {item.key for item in matrix.search(bytes(16), 100)} == set(expected)
    matrix.check()
    matrix.close()
    shutil.rmtree(folder)


def test_a_removed_or_replaced_vector_is_gone_from_the_disk(tmp_path: Path) -> None:
    secret = b"very secret face"
    with Matrix(tmp_path, INT8) as matrix:
        matrix.change([(b"one", secret), (b"two", secret[::-1]), (b"three", _vector(3))])
        matrix.change([(b"two", _vector(2))], [b"one"])
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert secret not in content
        assert secret[::-1] not in content
        assert _vector(2) in content
        matrix.clear()
        assert (len(matrix), matrix.position) == (0, None)
        assert _vector(2) not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_rows_are_used_again(tmp_path: Path) -> None:
    with Matrix(tmp_path, INT8) as matrix:
        for round in range(50):
            matrix.change([(_key(number), _vector(number + round)) for number in range(300)])
        size = sum(file.stat().st_size for file in tmp_path.glob("rows-*.bin"))
    assert size <= 16 * 4096


def test_another_model_begins_an_empty_matrix(tmp_path: Path) -> None:
    with Matrix(tmp_path, INT8) as matrix:
        matrix.change([(b"one", _vector(1))], position="p")
    with Matrix(tmp_path, Model("newer", Metric.EUCLIDEAN, 16, 0.5, 100.0)) as matrix:
        assert (len(matrix), matrix.position) == (0, None)
    assert len(list(tmp_path.glob("rows-*.bin"))) == 1


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_matrix_whose_rows_are_gone_or_short_has_to_be_filled_anew(tmp_path: Path, damage: str) -> None:
    with Matrix(tmp_path, INT8) as matrix:
        matrix.change([(_key(number), _vector(number)) for number in range(10)], position="p")
    [file] = tmp_path.glob("rows-*.bin")
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:100])
    with Matrix(tmp_path, INT8) as matrix:
        assert (len(matrix), matrix.position, matrix.search(_vector(1))) == (0, None, [])
        matrix.change([(b"one", _vector(1))], position="q")
        assert matrix.search(_vector(1)) == [Candidate(0.0, b"one")]


def test_a_flipped_bit_in_a_row_is_never_told_as_a_match(tmp_path: Path) -> None:
    with Matrix(tmp_path, INT8) as matrix:
        matrix.change([(b"one", _vector(1))], position="p")
    [file] = tmp_path.glob("rows-*.bin")
    content = file.read_bytes()
    for bit in range(0, 128, 5):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        with Matrix(tmp_path, INT8) as matrix:
            for look in (lambda: matrix.search(_vector(1)), matrix.check):
                with pytest.raises(Corrupt, match="damaged; fill the matrix anew"):
                    look()
    with Matrix(tmp_path, INT8) as matrix:
        matrix.clear()
        assert matrix.position is None


def test_a_reader_sees_each_change_of_a_writer_whole(tmp_path: Path) -> None:
    with Matrix(tmp_path, INT8) as writer, Matrix(tmp_path, INT8) as reader:
        for round in range(30):
            writer.change(
                [(_key(number), _vector(round)) for number in range(round, round + 200)],
                [_key(number) for number in range(round)],
                str(round),
            )
            assert reader.position == str(round)
            found = reader.search(_vector(round), 300)
            assert len(found) == len(reader) == 200
            assert {item.distance for item in found} == {0.0}
        writer.clear()
        assert (reader.position, reader.search(_vector(1))) == (None, [])


def test_a_search_that_is_overtaken_by_a_change_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Matrix(tmp_path, INT8) as writer, Matrix(tmp_path, INT8) as reader:
        writer.change([(b"one", _vector(1)), (b"two", _vector(50))])
        nearest, overtaken = reader._nearest, []

        def slow(probe: NDArray[np.int8], k: int) -> dict[int, float]:
            found = nearest(probe, k)
            if not overtaken:  # another person takes the row that was found
                overtaken.append(True)
                writer.change(delete=[b"one"])
                writer.change([(b"other", _vector(60))])
            return found

        monkeypatch.setattr(reader, "_nearest", slow)
        found = reader.search(_vector(1), 5)
    assert {item.key for item in found} == {b"two", b"other"}
    assert all(item.distance > 0 for item in found)


def test_a_matrix_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Matrix(None, INT8) as matrix:
        matrix.change([(_key(number), _vector(number)) for number in range(10_000)], position="p")
        assert matrix.search(_vector(77))[0].distance == 0.0
        matrix.clear()
        assert len(matrix) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["rows written", "rows durable", "committed", "wiped"])
def test_a_matrix_that_is_killed_in_a_change_stands_before_or_after_it(tmp_path: Path, step: str) -> None:
    before = {_key(number): _vector(number) for number in range(30)}
    with Matrix(tmp_path, Model("test", Metric.EUCLIDEAN, 16, 0.5, 100.0)) as matrix:
        matrix.change(before.items(), position="one")
    done = subprocess.run([sys.executable, str(PROCESS), str(tmp_path), step], check=False)
    assert done.returncode == -signal.SIGKILL
    after = {key: vector for key, vector in before.items() if int(key) >= 10}
    after |= {_key(number): _vector(number + 200) for number in (20, 21, *range(100, 120))}
    with Matrix(tmp_path, matrix.model) as opened:
        expected = after if step in ("committed", "wiped") else before
        assert opened.position == ("two" if expected is after else "one")
        assert dict(opened.vectors()) == expected
        opened.check()
        live = set(expected.values())
        rows = np.frombuffer(next(iter(tmp_path.glob("rows-*.bin"))).read_bytes(), np.uint8).reshape(-1, 16)
        held = {row.tobytes() for row in rows if row.any()}
        assert held == live  # what does not count is wiped
