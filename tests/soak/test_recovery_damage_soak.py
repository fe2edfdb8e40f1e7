"""A thousand damages to staged contents and to published files: each is found, and none is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery_damages import published_damages, staged_damages

pytestmark = pytest.mark.soak

NUMBER = 1000


def test_a_thousand_damages_to_published_files_are_found_and_mended(tmp_path: Path) -> None:
    assert published_damages(tmp_path, NUMBER) == NUMBER
    print(f"{NUMBER} damages of published files, all found, {NUMBER} files replaced and no other")


def test_a_thousand_damages_to_staged_contents_are_found_before_anything_is_shown(tmp_path: Path) -> None:
    assert staged_damages(tmp_path, NUMBER) == NUMBER
    print(f"{NUMBER} damages of staged contents, all found, none shown")
