from __future__ import annotations

import re
from pathlib import Path

import pytest

from diagrams import DESIGN, MACHINES, named, redrawn

PAGES = sorted(DESIGN.parent.rglob("*.md"))


def test_the_diagrams_of_the_design_are_those_of_the_rows() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    assert named(text) == list(MACHINES)
    assert text == redrawn(text), "draw them anew with: python tests/diagrams.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_every_decision_is_listed() -> None:
    folder = DESIGN.parent / "adr"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for page in folder.glob("0*.md"):
        assert f"({page.name})" in listed
        body = page.read_text(encoding="utf-8")
        assert all(f"\n## {part}\n" in body for part in ("Context", "Decision", "Consequences")), page.name
