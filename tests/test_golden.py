"""One file of every format that leaves the process, written by release 0.1: each later release reads them."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import math
from pathlib import Path

import bson
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from isthmus.app.clock import SystemClock
from isthmus.core.digest import Digest, record_hash
from isthmus.core.header import BundleName, Kind
from isthmus.core.position import Position
from isthmus.loop.release import folder
from isthmus.recovery.barrier import Change
from isthmus.recovery.objects import Object
from isthmus.recovery.report import ReportBox
from isthmus.state.store import Store
from isthmus.transfer.formats import ENDINGS, family, open_files
from isthmus.transfer.memory import MemoryCarrier
from isthmus.transfer.signing import PublicKey
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


BUNDLES = [name for file in sorted((GOLDEN / "bundle-v1").iterdir()) if (name := BundleName.of(file.name))]
BUNDLE_KEY = "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


@pytest.mark.parametrize("name", BUNDLES, ids=str)
def test_bundles_of_format_1_are_opened(name: BundleName) -> None:
    came = {
        ending: GOLDEN / "bundle-v1" / str(dataclasses.replace(name, ending=ending))
        for ending in family(name.ending)
    }
    opened = open_files(name, came, {"persons": frozenset({PublicKey.of_text(BUNDLE_KEY)})})
    header = opened.header
    assert (header.stream, header.site, header.until.order) == ("persons", "inner", (3, 17))
    assert header.made == datetime.datetime(2026, 11, 20, 2, 3, 4, 567890, datetime.UTC)
    content = b"".join(piece for member in opened.members for piece in opened.read(member))
    people = [entry["o"] for entry in bson.decode_all(content)]
    grace, ada = {"_id": 2, "name": "Grace"}, {"_id": 1, "name": "Ada"}
    assert people == {Kind.INCREMENT: [grace], Kind.SNAPSHOT: [ada, grace], Kind.HEARTBEAT: []}[header.kind]
    assert dict(header.counts) == ({"entries": len(people)} if people else {})
    digest = Digest()
    for person in (ada, grace):
        parts = (b"gallery.persons", bson.encode({"_id": person["_id"]}), b"", bson.encode(person))
        digest = digest.plus(record_hash(header.key, *parts))
        if header.kind is Kind.INCREMENT and person == ada:
            assert header.since == Position(3, 16, digest)
    assert header.until == Position(3, 17, digest)


def test_there_is_a_golden_bundle_of_every_kind_in_every_format() -> None:
    assert sorted(name.ending for name in BUNDLES) == sorted(itertools.chain.from_iterable(ENDINGS.values()))


def test_the_report_and_the_inventory_of_format_1_are_read(tmp_path: Path) -> None:
    carrier = MemoryCarrier()
    for file in sorted((GOLDEN / "report-v1").iterdir()):
        carrier.put(file.name, file)
    box = ReportBox(
        Store(tmp_path / "state.db"), carrier, "recovery", tmp_path, SystemClock(),
        allowed={PublicKey.of_text(BUNDLE_KEY)},
    )  # fmt: skip
    report = box.latest()
    assert report is not None
    assert (report.site, report.role, report.epoch, report.number) == ("north", "standby", 3, 1795140184567)
    assert report.made == datetime.datetime(2026, 11, 20, 2, 3, 4, 567890, datetime.UTC)
    assert (report.barrier, report.barrier_at) == (
        "20261120_020000",
        datetime.datetime(2026, 11, 20, 2, tzinfo=datetime.UTC),
    )
    assert report.standing == Position(3, 17, Digest(b"\x11" * 32))
    assert (report.missing, report.missing_count) == (("ab" * 32,), 1)
    assert (report.verify, report.progress["rate"]) == ({"equal": True, "tables": 2}, 1.5)
    assert (report.switchover, report.took_over, report.free_bytes) == ("declined", "", 10**12)
    contents = {b"one": 3, b"three": 5, b"": 0}
    assert box.inventory() == {blake3(content).digest(): size for content, size in contents.items()}


def test_the_change_of_a_round_is_read_with_publications_and_without() -> None:
    told = json.loads((GOLDEN / "change-v1.json").read_text())
    change = Change.of_json(told)
    assert change.to_json() == told
    assert (change.key, change.prior, change.event) == ("20261120_020000", "20261120_010000", "switchover")
    assert change.tables[0].grants == (("ada", "read"),)
    assert change.publications == {
        "p": (Object(),),
        "q": (Object("main", "fleet"), Object.parse("main.fleet.things")),
    }
    del told["publications"]  # as senders wrote it at first
    assert Change.of_json(told).publications is None


def test_every_golden_format_says_its_number() -> None:
    for name in ("idlist-v1.json", "export-v1/manifest.json", "release-v1/manifest.json", "release-v1/card.json"):
        assert json.loads((GOLDEN / name).read_text())["format"] == 1
