from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forecasting_scenes import drive
from isthmus.core.errors import Corrupt
from isthmus.loop.forecast import HISTORY, HORIZON
from isthmus.loop.forecasting.release import (
    TOLERANCE,
    check_onnx,
    example_inputs,
    export_onnx,
    load_forecaster,
    read_network,
    write_weights,
)
from isthmus.loop.forecasting.runtime import NumpyForecaster
from isthmus.loop.forecasting.samples import samples_of
from isthmus.loop.forecasting.shape import CONFIG, ONNX, WEIGHTS, Shape

torch = pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from isthmus.loop.forecasting.model import Network

    torch.manual_seed(4)
    torch.set_num_threads(1)
    write_weights(Network(Shape(modes=3, hidden=32, pool=16)), tmp_path / "release")
    return tmp_path / "release"


def test_numpy_and_pytorch_forecast_the_same(folder: Path) -> None:
    inputs = example_inputs(100, seed=5)
    with torch.no_grad():
        expected = read_network(folder)(*(torch.from_numpy(array) for array in inputs))
    for reference, found in zip(expected, NumpyForecaster.load(folder).run(*inputs), strict=True):
        np.testing.assert_allclose(found, reference.numpy(), atol=1e-5, rtol=1e-5)


def test_the_forecast_of_a_moment_is_that_of_its_sample_turned_back(folder: Path) -> None:
    scene = drive("a", steps=52, agents=5)
    forecaster = NumpyForecaster.load(folder)
    cut = samples_of(scene)
    whole = forecaster(scene.states[:, 1 : 1 + HISTORY], scene.size, np.array([0, 3]))
    assert whole.paths.shape == (2, 3, HORIZON, 2)
    np.testing.assert_allclose(whole.probability.sum(axis=1), 1, atol=1e-6)
    local = forecaster.forecast(cut.seen, cut.size).paths[1]
    away = np.linalg.norm(local - cut.future[1], axis=-1)
    here = np.linalg.norm(whole.paths[0] - scene.ego[1 + HISTORY : 1 + HISTORY + HORIZON, :2], axis=-1)
    np.testing.assert_allclose(here, away, atol=1e-3)


def test_onnx_equals_pytorch_for_any_batch(folder: Path) -> None:
    assert export_onnx(folder) <= TOLERANCE
    assert check_onnx(folder) <= TOLERANCE


def test_onnx_of_other_weights_is_refused(folder: Path) -> None:
    from isthmus.loop.forecasting.model import Network

    export_onnx(folder)
    network = Network(Shape(modes=3, hidden=32, pool=16))
    write_weights(network, folder)
    with pytest.raises(Corrupt, match="differs from PyTorch"):
        check_onnx(folder)
    (folder / ONNX).write_bytes(b"no onnx")
    with pytest.raises(Corrupt, match="cannot be read"):
        check_onnx(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_broken_or_missing_files_are_named(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(Corrupt, match=name):
        load_forecaster(folder)
    path.unlink()
    with pytest.raises(Corrupt, match=name):
        load_forecaster(folder)


def test_weights_that_are_not_finite_or_do_not_fit_are_refused(folder: Path) -> None:
    network = read_network(folder)
    with torch.no_grad():
        network.modes.bias[0] = float("nan")
    write_weights(network, folder)
    with pytest.raises(Corrupt, match=r"modes\.bias"):
        load_forecaster(folder)
    Shape(modes=4, hidden=32, pool=16).write(folder)
    with pytest.raises(Corrupt, match="shape"):
        load_forecaster(folder)


def test_forecasting_needs_no_pytorch(folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; import numpy as np\n"
        "from isthmus.loop.forecasting.release import load_forecaster\n"
        "states = np.zeros((2, 21, 5), np.float32)\n"
        "print(load_forecaster(Path(sys.argv[1]))(states, np.ones((2, 2), np.float32), np.array([0])).paths.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 3, 30, 2)", done.stderr
