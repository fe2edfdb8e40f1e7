"""A machine without an extra: the rest works, and what is missing is named with the extra that brings it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from acquire_sites import Hub
from gallery_sites import write
from isthmus.faces.cli.extras import _BROUGHT_BY, _WHOLE, missing_extra
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


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("pycurl", ("agent", "--environment", "video"), "agent"),
        ("blake3", ("agent", "--environment", "video"), "agent"),
        ("starlette", ("serve", "acquire"), "acquire"),
        ("msgspec", ("serve", "acquire"), "acquire"),
        ("msgspec", ("acquire", "keys", "list"), "acquire"),
        ("starlette", ("serve", "sync"), "sync"),
    ],
)
def test_what_acquiring_lacks_is_named_with_the_extra_that_brings_all_of_it(
    package: str, words: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    hub = Hub(tmp_path / "hub")
    site = hub.environment("video").folder if "agent" in words else hub.folder
    done = without((package,), "--site", str(site), *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"install it with: pip install 'isthmus[{extra}]'"), done.stderr


def test_postgres_and_nats_are_named_with_their_extras(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("postgresql://nobody@127.0.0.1:1/none")
    site = write(tmp_path, '[site]\nname = "hub"\n[acquire]\npostgres_file = "postgres"\n')
    done = without(("psycopg",), "--site", str(site), "acquire", "keys", "list")
    assert done.stderr.splitlines()[-1].endswith("pip install 'isthmus[postgres]'"), done.stderr
    assert str(missing_extra(ModuleNotFoundError("", name="nats.aio.client"))).endswith("'isthmus[nats]'")


def test_every_package_that_an_extra_brings_is_one_that_it_asks_for() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    asked = {
        extra: {
            Requirement(line).name.lower().replace("-", "_") for line in project["optional-dependencies"][extra]
        }
        for extra in ("acquire", "agent", "postgres", "nats")
    }
    names = {"PIL": "pillow", "psycopg_pool": "psycopg", "nats": "nats_py"}
    for extra in asked:
        brought = {*_WHOLE.get(extra, ()), *_BROUGHT_BY[extra]}
        assert {names.get(package, package) for package in brought} <= asked[extra], extra


def test_the_base_install_shows_its_help_and_makes_a_site(tmp_path: Path) -> None:
    bare = ("numpy", "pyarrow", "lance", "duckdb", "sqlglot", "fsspec", "blake3", *HEAVY, *SERVICES)
    assert without(bare, "--help").returncode == 0
    bare = (*bare, "msgspec", "cryptography", "pycurl", "starlette", "uvicorn", "PIL")
    for role in ("loop", "acquire", "agent"):
        assert without(bare, "init", str(tmp_path / role), "--role", role).returncode == 0
