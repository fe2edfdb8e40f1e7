"""The reader in C, built with a compiler's sanitizers, over hurt pictures: it touches only what is its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from examples import tries
from gallery_sites import environment

SOURCE = Path(__file__).resolve().parents[2] / "src" / "isthmus" / "imaging" / "_entropy.c"
PROCESS = Path(__file__).resolve().parents[1] / "entropy_process.py"
HEADERS = Path(sysconfig.get_paths()["include"])
CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
needs_compiler = pytest.mark.skipif(
    shutil.which("gcc") is None or not (HEADERS / "Python.h").exists(),
    reason="a C compiler or Python's headers are missing: apt-get install gcc python3-dev",
)


@needs_compiler
@tries("count", 4_000, 400_000)
def test_hurt_pictures_make_it_touch_nothing_that_is_not_its_own(
    tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    library = tmp_path / "_entropy.so"
    line = ["gcc", "-g", "-O1", "-Wall", "-Wextra", "-Werror", *CHECKS, "-shared", "-fPIC", f"-I{HEADERS}", "-o"]
    built = subprocess.run([*line, str(library), str(SOURCE)], capture_output=True, text=True, check=False)
    if "cannot find" in built.stderr:
        pytest.skip("the sanitizers are missing: apt-get install libasan8 libubsan1")
    assert built.returncode == 0, built.stderr
    named = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    done = subprocess.run(
        [sys.executable, str(PROCESS), str(library), str(count), "1"],
        env={
            **environment(),
            "LD_PRELOAD": named.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": os.pathsep.join(["tests", *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=PROCESS.parents[1],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with capsys.disabled():
        print("\n" + done.stdout.strip())
