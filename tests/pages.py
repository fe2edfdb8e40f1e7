"""The pages of the book as their readers meet them: which blocks stand on them, and who follows each.

A block without a language is typed line by line; one of `sh` is a script for one shell; `text` is what is shown,
and not typed. What cannot be done on the machine of a test stands in `ELSEWHERE`, with the reason and what is
proven instead.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DRAWN = "mermaid"
PAGES = (
    ROOT / "README.md",
    ROOT / "README.zh.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "how-to").glob("*.md")),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: the page's name from the root, the line that it begins in, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        """What is typed: lines that go on after a backslash are one, comments and empty lines are none."""
        whole = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        return [line.strip() for line in whole if line.strip() and not line.lstrip().startswith("#")]


@dataclass(frozen=True)
class Elsewhere:
    """Why something is not done here, and what is proven of it instead; `proof` raises where it is wrong."""

    why: str
    proof: Callable[[str], None]


def name_of(page: Path) -> str:
    """Return how a page is called: its path from `docs`, or from the root where it lies there."""
    return str(page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT))


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page in their order."""
    path = DOCS / page if (DOCS / page).exists() else ROOT / page
    return list(_blocks(page, path.read_text(encoding="utf-8").splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    language, begun, text = "", 0, list[str]()
    for number, line in enumerate(lines, 1):
        fence = re.fullmatch(r"\s*```(\w*)\s*", line)
        if not fence:
            text.append(line)
        elif begun:
            yield Block(page, begun, language, "\n".join(text) + "\n")
            begun = 0
        else:
            language, begun, text = fence[1], number, []
    assert not begun, f"{page}:{begun} begins a block that never ends"


def not_here(block: Block) -> bool:
    """Tell whether nothing of a block is followed here; what is shown is judged by its first line."""
    lines = block.lines[:1] if block.language == "text" else block.lines
    return all(elsewhere(block.page, line) is not None for line in lines)


def elsewhere(page: str, line: str) -> Elsewhere | None:
    """Return why a line of a page is not followed here, None where it is."""
    return next((told for (on, begins), told in ELSEWHERE.items() if on == page and line.startswith(begins)), None)


def _target(line: str) -> None:
    word = line.split()[1]
    assert re.search(rf"^{word}: .*## ", (ROOT / "Makefile").read_text(), re.MULTILINE), line


def _extras(line: str) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"isthmus\[([\w,-]+)\]", line):
        assert set(named.split(",")) <= set(known), line
    for name in re.findall(r"--constraint (\S+)", line):
        assert (ROOT / name).exists(), line


def _unit(line: str) -> None:
    unit = (ROOT / "packaging" / "isthmus@.service").read_text()
    for path in re.findall(r"packaging/\S+", line):
        assert (ROOT / path).exists(), line
    for folder in re.findall(r"/var/lib/isthmus\b", line):
        assert f"WorkingDirectory={folder}/%i\n" in unit, line
    account = (
        "".join(re.findall(r"chown -R (\w+):|useradd .* (\w+)$", line)[0]) if "isthmus@" not in line else "isthmus"
    )
    assert f"\nUser={account}\n" in unit, line


def _image(line: str) -> None:
    made = (ROOT / "packaging" / "Dockerfile").read_text()
    for path in re.findall(r"packaging/\S+", line):
        assert (ROOT / path).exists(), line
    for folder in re.findall(r"-v \S+:(\S+)", line):
        assert f"VOLUME {folder}\n" in made and f"ISTHMUS_SITE={folder} " in made, line
    assert line.startswith("docker exec") or line.split()[-1] in ("isthmus", "."), line
    for flag in re.findall(r"--stop-timeout (\d+)", line):
        assert f"TimeoutStopSec={flag}s" in (ROOT / "packaging" / "isthmus@.service").read_text(), line


def _known_command(line: str) -> None:
    from isthmus.faces.cli.main import isthmus

    words = line.partition(" ")[2].split()
    assert isthmus.get_command(None, words[2] if words[0] == "--site" else words[0]), line  # type: ignore[arg-type]


def _shown(line: str) -> None:
    assert line


_INDEX = "it installs from a package index, which a test asks nothing of; what it installs is what runs the test"
_SYSTEM = "it changes the machine's accounts and services; the unit itself is verified in test_packaging.py"
_CONTAINER = "it needs a container engine that runs; the Dockerfile is read in test_packaging.py"
_PICTURE = "it is a picture"
_MONGODB = "no MongoDB server can be had here; the feed is proven on recorded entries in tests/gallery"

ELSEWHERE: dict[tuple[str, str], Elsewhere] = {
    ("README.md", "make demo"): Elsewhere(f"{_INDEX}; the demonstration is told for look-around.md", _target),
    ("README.md", "make test"): Elsewhere("it is what runs the test", _target),
    ("README.zh.md", "make demo"): Elsewhere(f"{_INDEX}; the demonstration is told for look-around.md", _target),
    ("README.zh.md", "make test"): Elsewhere("it is what runs the test", _target),
    ("tutorial.md", "python3 -m venv isthmus-env"): Elsewhere(_INDEX, _extras),
    ("tutorial.md", "pip install"): Elsewhere(_INDEX, _extras),
    ("operate.md", "python3 -m venv"): Elsewhere(_INDEX, _extras),
    ("operate.md", "/opt/isthmus/bin/pip install"): Elsewhere(_INDEX, _extras),
    ("operate.md", "useradd"): Elsewhere(_SYSTEM, _unit),
    ("operate.md", "install "): Elsewhere(_SYSTEM, _unit),
    ("operate.md", "chown"): Elsewhere(_SYSTEM, _unit),
    ("operate.md", "systemctl"): Elsewhere(_SYSTEM, _unit),
    ("operate.md", "journalctl"): Elsewhere(_SYSTEM, _unit),
    ("operate.md", "docker"): Elsewhere(_CONTAINER, _image),
    ("acquire.md", "pip install"): Elsewhere(_INDEX, _extras),
    ("gate.md", "isthmus --site inner gallery feed --mongodb-file"): Elsewhere(_MONGODB, _known_command),
    ("index.md", "storage networks"): Elsewhere(_PICTURE, _shown),
    ("acquire-gate.md", "interface server ⇄ office"): Elsewhere(_PICTURE, _shown),
    ("acquire.md", "{root}/{place}"): Elsewhere("test_docs.py compares it with the setting's own default", _shown),
    ("formats.md", "v1a,"): Elsewhere("it is a known answer, which test_docs.py computes anew", _shown),
}
"""By page and beginning of a line: what no test of this project does, because it cannot be done here."""

FAST, SOAK, ROLES = "docs/test_pages.py", "soak/test_pages_soak.py", "soak/test_role_pages_soak.py"
GALLERIES = "soak/test_gallery_pages_soak.py"
FOLLOWED: dict[str, dict[str, str]] = {
    "access.md": dict.fromkeys(("", "sh", "toml"), "faces/test_access_page.py") | {"nginx": FAST},
    "acquire.md": dict.fromkeys(("", "toml", "csv", "json"), SOAK),
    "acquire-gate.md": dict.fromkeys(("", "toml"), SOAK),
    "client.md": {"python": "client/test_client_docs.py"},
    "devices.md": dict.fromkeys(("", "toml"), GALLERIES),
    "formats.md": {"python": "test_docs.py"},
    "gate.md": dict.fromkeys(("", "toml", "text"), GALLERIES),
    "look-around.md": {"": SOAK},
    "operate.md": {"": FAST},
    "recovery.md": dict.fromkeys(("toml", "sql"), FAST),
    "recovery-runbook.md": {"": SOAK},
    "tutorial.md": {"sh": "soak/test_tutorial_soak.py"},
    "how-to/administrator.md": {"": ROLES},
    "how-to/data-scientist.md": {"": ROLES},
    "how-to/device.md": {"": ROLES},
    "how-to/environment-agent.md": dict.fromkeys(("", "toml"), ROLES),
    "how-to/inner-site.md": {"": ROLES},
    "how-to/outer-site.md": {"": ROLES},
    "how-to/primary-site.md": {"": ROLES},
    "how-to/standby-site.md": {"": ROLES},
    "how-to/add-a-metric.md": {"python": "loop/forecasting/test_metrics.py", "toml": FAST},
    "how-to/add-a-rule.md": dict.fromkeys(("toml", ""), FAST),
    "how-to/add-a-simulator.md": dict.fromkeys(("python", "toml"), FAST),
    "how-to/add-a-source.md": {"python": "loop/sources/test_own_job_type.py", "toml": FAST},
    "how-to/add-an-extractor.md": {"python": "test_docs.py", "toml": FAST},
}
"""By page and language: the test file, from `tests`, that follows such blocks."""
