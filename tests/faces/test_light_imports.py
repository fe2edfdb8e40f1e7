"""What a device or a sender carries stays small: their commands import none of the heavy parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gallery_making import jpeg
from gallery_sites import DEVICE, INNER, environment, write

LOOP = {"lance", "torch", "duckdb", "pyarrow", "sqlglot", "apscheduler", "highway_env", "matplotlib", "rosbags"}
SERVER = {"starlette", "uvicorn"}
FACES = {"onnxruntime", "dlib"}
ICE = {"aiortc", "webrtc", "websockets"}

_TELL = """
import json, sys
from isthmus.faces.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["device", "list"], LOOP | SERVER | FACES | ICE),
        (["device", "--help"], LOOP | SERVER | FACES | ICE | {"numpy", "cryptography"}),
        (["check"], LOOP | SERVER | FACES | ICE),
        (["keys", "device"], LOOP | SERVER | FACES | ICE),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_device_imports_only_what_it_uses(tmp_path: Path, words: list[str], without: set[str]) -> None:
    site = write(tmp_path / "device", DEVICE.format(name="b12", extractor="faces"))
    assert not imported(site, *words) & without


def test_an_inner_site_imports_neither_server_nor_loop_nor_faces(tmp_path: Path) -> None:
    site = write(tmp_path / "inner", INNER)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(1))
    assert not imported(site, "gallery", "add", "staff", "anna", str(photo)) & (LOOP | SERVER | FACES | ICE)


def imported(site: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _TELL, "--site", str(site), *words],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)
