from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("lance", reason="the warehouse is not installed: pip install 'isthmus[warehouse]'")

from isthmus.acquire.clerk import IMAGES, Clerk
from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Asking, Settled
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.acquire.request import Wish
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.olap import Olap

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def filed(number: int) -> Filed:
    digest = f"{number:064x}"
    return Filed(
        digest, digest, f"it-arezzo/20260101/00/{number}.jpg", 1000 + number, "jpeg", 640, 480, "it-arezzo",
        "Arezzo, Tuscany, Italy", "exif", "IT", 43.4, 11.8, NOW, "exif", "Kamera 7", "0123456789abcdef",
    )  # fmt: skip


def file_images(ledger: SqliteLedger, first: int, count: int) -> None:
    wishes = [
        Wish(f"http://x/{n}", "public", f"r{n}", tags=("a", f"t{n % 3}")) for n in range(first, first + count)
    ]
    ledger.accept(Asking("ann", f"t{first}"), wishes, NOW)
    for task in ledger.claim("public", "agent", count, 60, NOW):
        ledger.settle([Settled(task.request, task.fence, filed(task.request))], NOW)


def numbers(clerk: Clerk) -> list[int]:
    clerk.table.refresh()
    return sorted(n for batch in clerk.table.scan(["number"]) for n in batch.column("number").to_pylist())


def test_every_done_request_becomes_one_row_and_writing_again_adds_none(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    clerk = Clerk(ledger, Catalog(tmp_path / "warehouse"))
    assert clerk.write().rows == 0
    file_images(ledger, 0, 25)
    assert clerk.write(most=10).rows == 25
    assert clerk.write().rows == 0
    file_images(ledger, 25, 5)
    again = Clerk(ledger, Catalog(tmp_path / "warehouse"))
    assert again.write().rows == 5
    assert len(numbers(again)) == len(set(numbers(again))) == 30
    row = next(iter(again.table.scan(where="record_id = 'r7'"))).to_pylist()[0]
    assert (row["place"], row["country"], row["camera"], row["taken"]) == ("it-arezzo", "IT", "Kamera 7", NOW)
    assert (row["owner"], row["environment"], row["tags"]) == ("ann", "public", ["a", "t1"])
    ledger.close()


def test_rows_of_removed_images_are_deleted(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    clerk = Clerk(ledger, Catalog(tmp_path / "warehouse"))
    file_images(ledger, 0, 6)
    clerk.write()
    gone = [line.request for line in ledger.removable(datetime(2027, 1, 1, tzinfo=UTC), None, 2)]
    ledger.removed(gone, NOW)
    assert clerk.forget() == 2
    assert len(numbers(clerk)) == 4
    assert clerk.forget() == 0
    assert clerk.write().rows == 0
    ledger.close()


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_kill_around_a_commit_neither_doubles_nor_loses_rows(tmp_path: Path, point: str) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    file_images(ledger, 0, 30)
    ledger.close()
    script = Path(__file__).with_name("clerk_process.py")
    killed = subprocess.run([sys.executable, str(script), str(tmp_path), point], check=False)
    assert killed.returncode == -signal.SIGKILL
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    clerk = Clerk(ledger, Catalog(tmp_path / "warehouse"))
    assert len(numbers(clerk)) == (10 if point == "before" else 20)
    clerk.write()
    assert len(numbers(clerk)) == len(set(numbers(clerk))) == 30
    ledger.close()


def test_the_table_has_simple_fields_only_and_the_olap_follows_it(tmp_path: Path) -> None:
    assert IMAGES.complex is None
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    clerk = Clerk(ledger, Catalog(tmp_path / "warehouse"))
    file_images(ledger, 0, 9)
    clerk.write()
    olap = Olap(tmp_path / "olap.duckdb")
    olap.follow_all({"images": (clerk.table, None)})
    asked = "SELECT place, count(*) AS n FROM images WHERE list_contains(tags, 't1') GROUP BY place"
    assert [row["n"] for row in olap.query(asked).to_pylist()] == [3]
    ledger.close()
