"""What runs each command that stands in prose.

Each is one of three: a block that a test follows has it (`in_block` of prose.py looks it up); a test of its own
types it, by `TRIED`; or it cannot be done here, with the reason and what is proven instead, by `OUTSIDE`.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Mapping

from pages import ELSEWHERE, ROOT, Elsewhere, blocks_of
from prose import typed


def _target(line: str) -> None:
    """Prove that `make` knows what to do for a target."""
    (word,) = line.split()[1:]
    done = subprocess.run(["make", "-n", word], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip(), (line, done.stderr)
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{word}: .*## ", makefile, re.MULTILINE), f"make help says nothing of {word}"


def _package(line: str) -> None:
    """Prove that the entry points which a page's package declares are of a group that the product reads."""
    groups = {
        group
        for page in ("how-to/add-a-metric.md", "how-to/add-a-simulator.md")
        for block in blocks_of(page)
        for group in re.findall(r'entry-points."([\w.]+)"', block.text)
    }
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    assert groups and all(f'"{group}"' in source for group in groups), line


def _benches(line: str) -> None:
    """Prove that the benchmarks that are named exist and can be loaded."""
    from bench.__main__ import NAMES

    for name in line.split()[3:]:
        assert name in NAMES, line
        assert callable(importlib.import_module(f"bench.{name}").run), line


def _measured(line: str) -> None:
    """Prove that the bench which the page tells of runs these words beside its own."""
    words = ", ".join(f'"{word}"' for word in line.split())
    assert any(words in file.read_text() for file in (ROOT / "bench").glob("*.py")), line


def _unit(line: str) -> None:
    """Prove that the unit is there under the name that is said, and runs as the account that is said."""
    unit = (ROOT / "packaging" / "isthmus@.service").read_text()
    assert "isthmus@north" in line or "\nUser=isthmus\n" in unit, line
    if line.startswith("systemctl edit"):  # the page: the head of the unit has the lines
        head = unit.partition("\n[Unit]")[0]
        assert "ReadWritePaths=" in head, head


def _account_of_image(line: str) -> None:
    """Prove that the image runs as the user that is said."""
    made = (ROOT / "packaging" / "Dockerfile").read_text()
    user = line.split()[2].partition(":")[0]
    assert re.search(rf"\b{user}\b", made), line


def _environment(line: str) -> None:
    """Prove that `make` puts the environment where the line looks for it."""
    assert "VENV := .venv\n" in (ROOT / "Makefile").read_text(), line


def _bson(line: str) -> None:
    """Prove that an oplog in the form of those programs is at hand, whose entries the engine takes."""
    assert any((ROOT / "tests" / "golden").rglob("*.bson")), line


def _copies(line: str) -> None:
    """Prove that a copy that keeps holes is made by what a block has."""
    assert any("--sparse" in words for _, words in typed()), line


def _compiler(line: str) -> None:
    """Prove that `isthmus doctor` asks for the same packages where the part in C was not built."""
    assert line in (ROOT / "src" / "isthmus" / "app" / "product" / "setuplooks.py").read_text(), line


_extras = ELSEWHERE["acquire.md", "pip install"].proof
_INDEX = "it installs from a package index, which a test asks nothing of"
_ITSELF = "it is what runs the tests, or what is run beside them"
_LONG = "it measures for hours, on a machine that does nothing else"
_SYSTEM = "it changes the machine's accounts and services"
_MONGODB = "no MongoDB server and none of its tools can be had here; the feed is proven on recorded entries"

OUTSIDE: dict[str, Elsewhere] = {
    ". .venv/bin/activate": Elsewhere(f"{_INDEX}: what it activates is made so", _environment),
    "apt-get install gcc": Elsewhere("it needs root and an index of packages", _compiler),
    "chown -R 10001:10001 north": Elsewhere("it needs root", _account_of_image),
    "cp -r": Elsewhere(_LONG, _measured),
    "make bench": Elsewhere(_LONG, _target),
    "make check": Elsewhere(_ITSELF, _target),
    "make demo": Elsewhere(f"{_INDEX}; the demonstration is told for look-around.md", _target),
    "make pages": Elsewhere(_ITSELF, _target),
    "make setup": Elsewhere(_INDEX, _target),
    "make soak": Elsewhere(_ITSELF, _target),
    "make test": Elsewhere(_ITSELF, _target),
    "mongodump --oplog": Elsewhere(_MONGODB, _bson),
    "mongorestore --oplogReplay": Elsewhere(_MONGODB, _bson),
    "pip download": Elsewhere(_INDEX, _extras),
    "pip install": Elsewhere(_INDEX, _extras),
    "pip install .": Elsewhere(_INDEX, _package),
    "python -m bench": Elsewhere(_LONG, _benches),
    "rsync": Elsewhere("it is not on every machine; tar with the same holes is run for operate.md", _copies),
    "runuser -u isthmus --": Elsewhere(_SYSTEM, _unit),
    "systemctl": Elsewhere(_SYSTEM, _unit),
}
"""By beginning of a command: why no test types it, and what is proven instead."""

HERE, SOAK = "docs/test_prose_commands.py", "soak/test_prose_pages_soak.py"
GALLERIES, RECOVERY = "docs/test_prose_galleries.py", "docs/test_prose_recovery.py"
TRIED: Mapping[str, tuple[str, ...]] = {
    "nowhere": (
        "isthmus --debug",
        "isthmus --help",
        "isthmus keys",
        "isthmus keys acquire.filing",
        "isthmus keys acquire.gate",
        "isthmus keys agent.gate",
        "isthmus keys console",
        "isthmus init gate-b12 --role device",
        "isthmus init north --role agent",
        "export ISTHMUS_SITE=demo-site",
        "make help",
        "python -c pass",
    ),
    "modes": ("chmod -R go-rwx device", "chmod -R go-rwx state"),
    "console": (
        "/opt/isthmus-NEW/bin/isthmus --site north doctor",
        "isthmus audit --verify --since HEAD",
        "isthmus key add NAME --role operator --out FILE",
        "isthmus serve console",
    ),
    "galleries": (
        "isthmus --site inner check",
        "isthmus --site inner gate keys inner/keys/gate-2.pem",
        "isthmus --site outer gate receive --watch",
        "isthmus gallery quarantine",
        "isthmus gallery replace staff 4711 photo.jpg",
        "isthmus gallery tidy",
        "isthmus gate receive --watch",
        "isthmus gate status --json",
        "kill -9",
        "ls -s",
    ),
    "device": ("isthmus device extract",),
    "hub": (
        "isthmus --site hub acquire environment add video --out video-2.json",
        "isthmus --site hub acquire environment retire video",
        "isthmus --site hub acquire keys revoke agent-video-1",
        "isthmus --site hub acquire status",
        "isthmus acquire environment list",
        "isthmus acquire environment retire",
    ),
    "acquire gate": (
        "isthmus --site north acquire gate keys",
        "isthmus acquire gate epoch --above N",
        "isthmus acquire gate request --snapshot",
    ),
    "loop": (
        "isthmus ingest --source fleet --day 2026-11-20",
        "isthmus olap rebuild",
        "isthmus warehouse tidy",
    ),
    "pair": (
        "isthmus recovery dismiss",
        "isthmus recovery install-cron",
        "isthmus recovery request",
        "isthmus recovery request --snapshot",
        "isthmus recovery resend",
        'isthmus recovery sql "CREATE PUBLICATION p FOR TABLE loop.scenes"',
        "isthmus recovery start",
        "isthmus table rename",
    ),
    "whole sites": ("isthmus --site inner up", "isthmus --site road up"),
    "killed run": ("isthmus loop resume RUN",),
    "stories": ("isthmus demo --only acquire", "make demo-serve"),
    "book": ("make book",),
}
"""By world: the commands that a test types as they stand, but for the words that stand for something."""
WHERE = {
    **dict.fromkeys(TRIED, HERE),
    **dict.fromkeys(("galleries", "device"), GALLERIES),
    **dict.fromkeys(("pair",), RECOVERY),
    **dict.fromkeys(("whole sites", "killed run", "stories", "book"), SOAK),
}
"""By world: the test file, from `tests`, that makes it."""


def outside(command: str) -> Elsewhere | None:
    """Return why a command is not run here, None where nothing is said of it."""
    found = [begins for begins in OUTSIDE if f"{command} ".startswith(f"{begins} ")]
    return OUTSIDE[max(found, key=len)] if found else None


def tried(command: str) -> str:
    """Return the world that a command is tried in, nothing if in none."""
    return next((world for world, commands in TRIED.items() if command in commands), "")
