"""A machine without an extra: the rest works, and what is missing is named with the extra that brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.faces.cli.main import run
from traffic import write_site

HEAVY = ("torch", "onnx", "onnxruntime", "optuna", "safetensors", "matplotlib", "rosbags", "highway_env")
SERVICES = ("apscheduler", "jinja2", "scipy")


def without(packages: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process in which these packages cannot be imported."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({packages!r}));"
        f"from isthmus.faces.cli.main import run; sys.exit(run({list(words)!r}))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("site")
    write_site(folder)
    assert run(["--site", str(folder), "ingest", "--source", "cars", "--day", "2026-11-20"]) == 0
    return str(folder)


def test_asking_a_warehouse_needs_the_extra_warehouse_alone(site: str) -> None:
    for words in (("query", "SELECT count(*) AS n FROM scenes"), ("mine", "high_speed"), ("scenes", "stats")):
        done = without((*HEAVY, *SERVICES), "--site", site, *words)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("torch", ("loop", "run"), "train"),
        ("matplotlib", ("scenes", "show", "cars.20261120.drive-000.0.0"), "loop"),
        ("pyarrow", ("query", "SELECT 1"), "warehouse"),
        ("numpy", ("check",), "warehouse"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(
    site: str, package: str, words: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    done = without((package,), "--site", site, *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"install it with: pip install 'isthmus[{extra}]'")


def test_the_base_install_shows_its_help_and_makes_a_site(tmp_path: Path) -> None:
    bare = ("numpy", "pyarrow", "lance", "duckdb", "sqlglot", "fsspec", "blake3", *HEAVY, *SERVICES)
    assert without(bare, "--help").returncode == 0
    assert without(bare, "init", str(tmp_path / "new")).returncode == 0
