"""What became of images after they were filed: rows to query and mine, and an end when their time has come."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from acquire_sites import Hub, Storage, running, wish
from gallery_sites import here as isthmus
from gallery_sites import until
from isthmus.acquire.client import Client
from isthmus.core.errors import UnknownName


def picture(number: int, width: int = 64) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, 48), (number, 90, 200 - number)).save(content, "JPEG")
    return content.getvalue()


def asked(site: Path, sql: str) -> list[dict[str, object]]:
    said = isthmus(site, "query", sql, "--format", "jsonl").stdout
    return [json.loads(line) for line in said.splitlines()]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "store")
    for number in range(6):
        (made.folder / f"{number}.jpg").write_bytes(picture(number, 640 if number < 2 else 64))
    return made


def test_filed_images_are_queried_and_mined_as_rows_and_leave_disk_ledger_and_rows_when_they_are_too_old(
    tmp_path: Path, storage: Storage
) -> None:
    hub = Hub(tmp_path / "hub")
    agent = hub.environment("street", storage.allow)
    with running(storage, hub, agent):
        batch = hub.ask([wish(storage, f"{number}.jpg", "street", place="Lund") for number in range(6)])
        assert hub.ended(batch) == {"done": 6}
        (digest,) = {one["filed"]["digest"] for one in hub.requests(batch)[:1]}
        assert "6 rows written" in isthmus(hub.folder, "acquire", "rows").stderr
        assert "0 rows written" in isthmus(hub.folder, "acquire", "rows").stderr
        found = asked(hub.folder, "SELECT environment, width, count(*) AS n FROM acquire.images GROUP BY ALL")
        assert sorted(found, key=lambda row: str(row["n"])) == [
            {"environment": "street", "width": 640, "n": 2},
            {"environment": "street", "width": 64, "n": 4},
        ]
        out = tmp_path / "wide.parquet"
        mined = isthmus(
            hub.folder, "mine", "--table", "acquire.images", "--where", "width >= 640", "--out", str(out)
        )
        assert "2 rows of acquire.images" in mined.stderr
        assert out.exists()

    toml = hub.folder / "isthmus.toml"
    toml.write_text(toml.read_text() + "[acquire.keep]\ndays = 0.00000001\nevery_s = 1.0\nrows_s = 1.0\n")
    with running(hub):
        until(lambda: not pictures(hub.images), "the images are removed")
        until(lambda: gone(hub.client("operator"), digest), "the ledger knows")
        until(lambda: len(asked(hub.folder, "SELECT * FROM acquire.images")) <= 1, "their rows are deleted")
    assert pictures(hub.images) == []


def pictures(folder: Path) -> list[str]:
    """List what is filed, also while folders go: `rglob` would stop there."""
    return [name for _, _, names in os.walk(folder) for name in names if name.endswith(".jpg")]


def gone(client: Client, digest: str) -> bool:
    try:
        client.image(digest)
    except UnknownName:
        return True
    return False
