"""One file of every format that leaves the process, written by release 0.1: each later release reads them."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path

import pyarrow.parquet as pq

from isthmus.loop.release import folder
from isthmus.warehouse.export import read_manifest
from isthmus.warehouse.idlist import IdList

GOLDEN = Path(__file__).parent / "golden"


def test_the_id_list_of_format_1_is_read() -> None:
    ids = IdList.read(GOLDEN / "idlist-v1.parquet")
    assert ids.ids.to_pylist() == ["cars.20261120.a.0.0", "cars.20261120.b.1.0"]
    assert ids.row_ids.to_pylist() == [3, 2**64 - 1]
    assert (ids.rule, ids.parameters, ids.where) == ("cut_in", {"cut_in.gap_m": 15.0}, "source = 'ngsim'")
    assert (ids.identity, ids.version) == ("0123abcd", 7)
    assert ids.created == datetime.datetime(2026, 11, 20, 2, tzinfo=datetime.UTC)


def test_the_export_of_format_1_is_read() -> None:
    manifest = read_manifest(GOLDEN / "export-v1")
    assert (manifest.rows, [part.name for part in manifest.parts]) == (2, ["part-00000.parquet"])
    assert pq.read_table(GOLDEN / "export-v1" / "part-00000.parquet")["v"].to_pylist() == [1.5, 2.5]


def test_the_released_folder_of_format_1_verifies_and_its_card_is_read() -> None:
    place = str(GOLDEN / "release-v1")
    entries = folder.verify(place)
    assert [entry.path for entry in entries] == [
        "CARD.md",
        "card.json",
        "model.json",
        "model.onnx",
        "model.safetensors",
    ]
    card = folder.read_card(place)
    assert (card.model_id, card.parent, card.version) == ("forecast-20261120-3", "forecast-20261119-1", 7)
    assert card.rules[0].parameters == {"cut_in.gap_m": 15.0}
    assert math.isnan(card.measures[1].value)


def test_every_golden_format_says_its_number() -> None:
    for name in ("idlist-v1.json", "export-v1/manifest.json", "release-v1/manifest.json", "release-v1/card.json"):
        assert json.loads((GOLDEN / name).read_text())["format"] == 1
