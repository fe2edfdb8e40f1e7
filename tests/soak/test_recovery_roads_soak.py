"""Recovery over a real store of the S3 type, which takes longer to start than the story lasts."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery_sites import batch, counted, pair, published
from s3_server import seaweed

pytestmark = pytest.mark.soak


def test_over_a_store_of_the_s3_type_the_standby_follows_and_hands_its_reports_back(tmp_path: Path) -> None:
    with seaweed() as store:
        (tmp_path / "token").write_text(f"{store.key}:{store.secret}")
        text = (
            'road = "s3"\nout_place = "s3://pair/{}"\nin_place = "s3://pair/{}"\n'
            f'endpoint = "http://127.0.0.1:{store.port}"\ntoken_file = "{tmp_path / "token"}"'
        )
        north, south = pair(
            tmp_path, north=text.format("to-south", "to-north"), south=text.format("to-north", "to-south")
        )
        published(north)
        north.table().append([batch(ada=1)])
        for _ in range(2):
            south.run("restore")
            north.run("backup")
        south.run("restore")
        assert south.rows() == counted(ada=1)
        assert "standby of epoch 1, shows" in north.run("status").stdout
        (tmp_path / "token").write_text(f"{store.key}:wrong")
        told = north.run("backup", code=6).stderr
        assert store.secret not in told
