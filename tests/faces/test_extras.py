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
from traffic import site_with_a_day

HEAVY = ("torch", "onnx", "onnxruntime", "optuna", "safetensors", "matplotlib", "rosbags", "highway_env")
SERVICES = ("apscheduler", "jinja2", "scipy")


def without(packages: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process in which these packages cannot be imported."""
    return one_by_one(packages, words)


def one_by_one(packages: tuple[str, ...], *lines: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run command lines, until one fails, in one process in which these packages cannot be imported."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({packages!r}));"
        "from isthmus.faces.cli.main import run;"
        f"sys.exit(next((code for code in map(run, {lines!r}) if code), 0))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(site_with_a_day(tmp_path_factory.mktemp("site")).parent)


def test_asking_a_warehouse_needs_the_extra_warehouse_alone(site: str) -> None:
    asked = (("query", "SELECT count(*) AS n FROM scenes"), ("mine", "high_speed"), ("scenes", "stats"))
    done = one_by_one((*HEAVY, *SERVICES), *(("--site", site, *words) for words in asked))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("n\n56\n")


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
        ("starlette", ("serve", "console"), "console"),
        ("jinja2", ("serve", "console"), "console"),
        ("argon2", ("user", "add", "ada", "--role", "admin", "--password-file", "isthmus.toml"), "console"),
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
    lists = project["optional-dependencies"]

    def named(extra: str) -> set[str]:
        asked = [Requirement(line) for line in lists[extra]]
        inner = [name for one in asked if one.name == "isthmus" for name in one.extras]
        return {one.name.lower().replace("-", "_") for one in asked}.union(*(named(name) for name in inner))

    asked = {extra: named(extra) for extra in ("acquire", "agent", "console", "postgres", "nats")}
    names = {
        "PIL": "pillow",
        "argon2": "argon2_cffi",
        "lance": "pylance",
        "psycopg_pool": "psycopg",
        "nats": "nats_py",
    }
    for extra in asked:
        brought = {*_WHOLE.get(extra, ()), *_BROUGHT_BY[extra]}
        assert {names.get(package, package) for package in brought} <= asked[extra], extra


def test_the_base_install_shows_its_help_and_makes_a_site(tmp_path: Path) -> None:
    bare = ("numpy", "pyarrow", "lance", "duckdb", "sqlglot", "fsspec", "blake3", *HEAVY, *SERVICES)
    said = without(bare, "--help")
    assert said.returncode == 0, said.stderr
    bare = (*bare, "msgspec", "cryptography", "pycurl", "starlette", "uvicorn", "PIL")
    made = [("init", str(tmp_path / role), "--role", role) for role in ("loop", "acquire", "agent")]
    said = one_by_one(bare, *made)
    assert said.returncode == 0, said.stderr


def test_a_part_of_our_own_that_is_missing_is_told_as_a_broken_installation() -> None:
    told = missing_extra(ModuleNotFoundError("No module named 'isthmus.core.gone'", name="isthmus.core.gone"))
    assert told.what == "isthmus.core.gone is missing: this installation is not whole"
    assert "extra" not in str(told) and "[" not in str(told)
