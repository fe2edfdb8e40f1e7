from __future__ import annotations

import csv
from pathlib import Path

from isthmus.app.recovery.listing import COLUMNS, list_rounds
from isthmus.app.recovery.site import RecoverySite
from recovery_pair import Two


def rounds(site: RecoverySite) -> list[dict[str, str]]:
    list_rounds(site)
    with (site.lists / site.part.csv).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_tells_of_every_round_at_both_sites(tmp_path: Path) -> None:
    two = Two(tmp_path)
    two.add(two.a, "things", "one", "two")
    two.settle()
    sent, taken = rounds(two.a), rounds(two.b)
    assert tuple(sent[0]) == COLUMNS
    assert {row["action"] for row in sent} == {"backup"} and {row["action"] for row in taken} == {"restore"}
    assert {row["key"] for row in taken} <= {row["key"] for row in sent}
    assert sent[0]["kind"] == "full" and sent[0]["prior_key"] == "" and int(sent[0]["bytes"]) > 0
    before = (two.a.lists / two.a.part.csv).stat().st_mtime_ns
    list_rounds(two.a)
    assert (two.a.lists / two.a.part.csv).stat().st_mtime_ns == before, "nothing is written where nothing changed"
