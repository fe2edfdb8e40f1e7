from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from isthmus.core.errors import Corrupt, InputError, MissingExtra, UnknownName
from isthmus.imaging import extractors, weights
from isthmus.imaging.dlibfile import AddPrevious, Convolution, Dense, Input, Reading, network
from isthmus.imaging.faces import SCALE, Faces, Faces8
from isthmus.imaging.port import Metric, Translator
from isthmus.imaging.resnet import INPUT, OUTPUT, as_onnx
from isthmus.imaging.weights import EMBEDDER, LANDMARKS, NETWORK, Weights
from samples import SAMPLES, needs_samples

dlib = pytest.importorskip("dlib", reason="the extra `faces` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `faces` is not installed")
models = pytest.importorskip("face_recognition_models", reason="the extra `faces` is not installed")

FILE = Path(models.face_recognition_model_location())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def faces(cache: Path) -> Faces:
    return Faces(cache)


def _portrait(number: int, person: int = 1) -> NDArray[np.uint8]:
    return np.asarray(Image.open(SAMPLES / "faces" / "orl" / f"s{person}" / f"{number}.pgm").convert("RGB"))


def test_the_network_agrees_with_dlib_on_any_picture(cache: Path) -> None:
    ours = onnxruntime.InferenceSession(Weights(cache).embedder(), providers=["CPUExecutionProvider"])
    theirs = dlib.face_recognition_model_v1(str(FILE))
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (150, 150, 3), dtype=np.uint8), np.full((150, 150, 3), 255, np.uint8)]
    pictures.append(np.tile(np.arange(150, dtype=np.uint8)[:, None, None], (1, 150, 3)))
    together = ours.run([OUTPUT], {INPUT: np.stack(pictures)})[0]
    for picture, vector in zip(pictures, together, strict=True):
        assert np.abs(np.array(theirs.compute_face_descriptor(picture)) - vector).max() < 1e-5


@needs_samples
def test_a_face_gets_the_vector_that_dlib_gives_it(faces: Faces) -> None:
    image = np.asarray(Image.open(SAMPLES / "faces/caltech/person_00/image_0001.jpg"))
    found = max(dlib.get_frontal_face_detector()(image, 0), key=lambda face: face.area())
    landmarks = dlib.shape_predictor(models.pose_predictor_five_point_model_location())(image, found)
    wanted = np.array(dlib.face_recognition_model_v1(str(FILE)).compute_face_descriptor(image, landmarks))
    vector = faces.embed(image)
    assert vector is not None
    assert np.abs(wanted - vector).max() < 1e-5
    stored, small = faces.extract(image), Faces8(faces._weights.folder.parent)
    assert stored is not None
    assert np.linalg.norm(np.frombuffer(stored, "<f2").astype(np.float32) - wanted) < 0.002
    assert np.linalg.norm(np.frombuffer(small.extract(image) or b"", np.int8) / SCALE - wanted) < 0.03


def test_each_form_of_a_vector_is_turned_into_the_other() -> None:
    wide, small = Faces(), Faces8()
    vector = np.random.default_rng(3).normal(0, 0.12, 128).astype("<f2")
    rounded = wide.translated(vector.tobytes(), small.model.name)
    assert len(rounded) == small.model.size
    assert np.abs(np.frombuffer(rounded, np.int8) / SCALE - vector).max() <= 0.5 / SCALE + 1e-6
    back = small.translated(rounded, wide.model.name)
    assert len(back) == wide.model.size
    assert np.abs(np.frombuffer(back, "<f2") - np.frombuffer(rounded, np.int8) / SCALE).max() < 0.0005
    assert (wide.kin, small.kin) == ((small.model.name,), (wide.model.name,))
    for one in (wide, small):
        assert isinstance(one, Translator)
        with pytest.raises(ValueError, match="is not turned into"):
            one.translated(vector.tobytes(), one.model.name)


@needs_samples
def test_one_person_lies_near_and_another_far(faces: Faces) -> None:
    def vector(number: int, person: int) -> NDArray[np.float64]:
        stored = faces.extract(_portrait(number, person))
        assert stored is not None
        assert len(stored) == faces.model.size
        return np.frombuffer(stored, "<f2").astype(np.float64)

    assert np.linalg.norm(vector(1, 5) - vector(2, 5)) < faces.model.threshold
    assert np.linalg.norm(vector(1, 5) - vector(1, 9)) > faces.model.threshold


@needs_samples
def test_small_and_closely_cut_portraits_are_found(faces: Faces) -> None:
    assert faces.embed(_portrait(1)[::2, ::2]) is not None
    assert faces.embed(_portrait(3)) is not None  # its face touches the border


@needs_samples
def test_of_several_faces_the_largest_counts(faces: Faces) -> None:
    big, small = _portrait(1, 5), _portrait(1, 9)
    both = np.full((224, 300, 3), 128, np.uint8)
    both[:, :184] = np.asarray(Image.fromarray(big).resize((184, 224)))
    both[:112, 200:292] = small
    alone, together = faces.embed(both[:, :190]), faces.embed(both)
    assert alone is not None
    assert together is not None
    assert np.linalg.norm(alone - together) < 0.1


def test_a_picture_without_a_face_gives_none_whatever_its_size(faces: Faces) -> None:
    for shape in [(1, 1, 3), (1, 4000, 3), (30, 20, 3), (300, 400, 3), (2000, 1700, 3)]:
        assert faces.extract(np.full(shape, 90, np.uint8)) is None


def test_the_model_is_known_without_loading_weights(tmp_path: Path) -> None:
    model = Faces(tmp_path / "none").model
    assert (model.metric, model.size, model.threshold) == (Metric.EUCLIDEAN, 256, 0.5)
    small = Faces8(tmp_path / "none").model
    assert (small.metric, small.size, small.threshold) == (Metric.EUCLIDEAN, 128, 0.5)
    assert small.name != model.name
    assert not (tmp_path / "none").exists()


def test_a_cache_that_was_prepared_needs_no_package(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Weights(cache).prepare()
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: None)
    assert EMBEDDER.fits(Weights(cache).embedder())
    assert LANDMARKS.fits(Weights(cache).landmarks().read_bytes())
    with pytest.raises(MissingExtra, match=r"isthmus\[faces\]"):
        Weights(cache / "empty").embedder()


def test_damaged_files_in_the_cache_are_made_anew(tmp_path: Path) -> None:
    kept = Weights(tmp_path)
    kept.folder.mkdir(parents=True)
    (kept.folder / EMBEDDER.name).write_bytes(b"half a file")
    (kept.folder / LANDMARKS.name).write_bytes(b"")
    kept.prepare()
    assert EMBEDDER.fits((kept.folder / EMBEDDER.name).read_bytes())
    assert LANDMARKS.fits((kept.folder / LANDMARKS.name).read_bytes())
    assert sorted(file.name for file in kept.folder.iterdir()) == sorted([EMBEDDER.name, LANDMARKS.name])


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / NETWORK.name).write_bytes(FILE.read_bytes()[:-1] + b"\1")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(Corrupt, match="not the file that is expected"):
        Weights(tmp_path / "cache").embedder()


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    assert Weights().folder == tmp_path / "weights"
    monkeypatch.delenv("ISTHMUS_CACHE")
    assert Weights().folder == Path.home() / ".cache" / "isthmus" / "weights"


def test_the_network_file_holds_the_known_layers() -> None:
    layers = network(FILE.read_bytes())
    assert isinstance(layers[0], Input)
    assert layers[0].side == 150
    assert sum(isinstance(layer, Convolution) for layer in layers) == 29
    assert sum(isinstance(layer, AddPrevious) for layer in layers) == 14
    assert isinstance(layers[-1], Dense)
    assert layers[-1].weight.shape == (256, 128)


def test_a_network_file_that_was_cut_or_goes_on_is_refused() -> None:
    content = FILE.read_bytes()
    for wrong in (b"", content[:100], content[:1000], content[:-1], content + b"\0", b"\1\1\1\3abc" + content):
        with pytest.raises(Corrupt, match="makes no sense"):
            network(wrong)
    layers = network(content)
    for order in (layers[:-1], layers[:40], layers[1:], layers[:9] + layers[10:]):
        with pytest.raises(Corrupt, match="order"):
            as_onnx(order)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_never_a_network(content: bytes) -> None:
    with pytest.raises(Corrupt):
        network(b"\1\1\1\x0dloss_metric_2" + content)


@given(st.integers(-(2**62), 2**62))
def test_packed_integers_are_read_as_dlib_writes_them(value: int) -> None:
    body = abs(value).to_bytes(max(1, (abs(value).bit_length() + 7) // 8), "little")
    assert Reading(bytes((len(body) | (0x80 if value < 0 else 0),)) + body).integer() == value


def test_the_onnx_file_is_a_valid_model(cache: Path) -> None:
    onnx = pytest.importorskip("onnx")
    written = onnx.load_from_string(Weights(cache).embedder())
    onnx.checker.check_model(written, full_check=True)
    assert hashlib.sha256(Weights(cache).embedder()).hexdigest() == EMBEDDER.sha256


def test_extractors_are_found_by_name(tmp_path: Path) -> None:
    assert {"faces", "faces8", "faces16", "phash"} <= set(extractors.names())
    assert extractors.load("faces", tmp_path).model == extractors.load("faces16").model == Faces().model
    assert extractors.load("faces8").model == Faces8().model
    assert extractors.load("phash").model.metric is Metric.HAMMING
    with pytest.raises(UnknownName, match="did you mean 'faces'"):
        extractors.load("face")


def test_another_package_may_bring_an_extractor_but_not_replace_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint
    brought = [
        point("plates", "no.such:Thing", extractors.GROUP),
        point("faces", "no.such:Thing", extractors.GROUP),
        point("other", "isthmus.imaging.fingerprint:Phash", extractors.GROUP),
    ]
    monkeypatch.setattr(extractors.importlib.metadata, "entry_points", lambda group: brought)
    assert extractors.load("other").model.name.startswith("phash")
    assert extractors.load("faces").model == Faces().model
    with pytest.raises(InputError, match=r"'plates' cannot be loaded"):
        extractors.load("plates")


@needs_samples
def test_without_onnxruntime_dlib_itself_makes_the_same_vectors(
    cache: Path, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = np.asarray(Image.open(next((SAMPLES / "faces/caltech/person_00").glob("*.jpg"))).convert("RGB"))
    expected = faces.embed(photo)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    Weights(cache).prepare(onnx=False)
    alone = Faces(cache).embed(photo)
    assert expected is not None and alone is not None
    np.testing.assert_allclose(alone, expected, atol=1e-5)
