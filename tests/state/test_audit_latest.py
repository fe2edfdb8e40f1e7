"""The latest acts come first, and older ones behind a number."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from isthmus.state.audit import Audit
from isthmus.state.store import Store


class Still:
    def now(self) -> datetime:
        return datetime(2026, 5, 1, tzinfo=UTC)


def test_the_latest_acts_come_first_and_older_ones_behind_a_number(tmp_path: Path) -> None:
    with Store(tmp_path / "site.db") as store:
        audit = Audit(store, Still())
        for number in range(5):
            audit.note("ann", f"act {number}")
        first = audit.latest(most=2)
        assert [one.act for one in first] == ["act 4", "act 3"]
        assert [one.act for one in audit.latest(first[-1].number)] == ["act 2", "act 1", "act 0"]
        assert [one.number for one in audit.latest()] == [one.number for one in reversed(audit.entries())]
