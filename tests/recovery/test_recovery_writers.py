"""Rounds under two writing processes that compact and clean up; `make soak` does five minutes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from two_writers import rounds_under_writers


def test_rounds_under_two_writers_that_compact_and_clean_up_all_succeed_and_restore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = rounds_under_writers(tmp_path, seconds=6)
    with capsys.disabled():
        print(f"\n{told}")
    assert told.failed == 0
    assert told.rounds and told.restored >= 2 and told.compactions
