"""Bytes that nobody meant: the reader raises Corrupt or reads them, the engine takes whatever was read."""

from __future__ import annotations

import random
from typing import Any

import bson
import pytest
from bson.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import Corrupt
from isthmus.gallery.memory import MemoryDocuments, MemoryWaiting
from isthmus.gallery.oplog.engine import Engine
from isthmus.gallery.oplog.entry import CODEC, RawEntry
from isthmus.gallery.oplog.mongoshake import recorded, write_tunnel
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.oplog.read import entries
from oplog_making import NS, UI, Site, change, command, delete, entry, insert, several, update
from samples import SAMPLES, needs_samples

SEEDS = [
    insert({"_id": 1, "a": {"b": [1, {"c": 2}]}, "url": "aW1hZ2U="}),
    change(
        1,
        {
            "d": {"x": False},
            "u": {"a": 1},
            "i": {"z": 1},
            "sa": {"sb": {"a": True, "l": 3, "u0": 1, "s1": {"u": {"c": 1}}}},
        },
    ),
    update(1, {"$v": 1, "$set": {"a.b.1.c": 5}, "$unset": {"a.b.0": 1}}),
    update(1, {"_id": 1, "a": 2}),
    delete(1),
    several([{"op": "i", "ns": NS, "o": {"_id": 2}}, {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": []}}]),
    command({"renameCollection": NS, "to": "airport.b"}, ui=UI),
    command(
        {"applyOps": [{"op": "i", "ns": NS, "o": {"_id": 3}}], "partialTxn": True}, lsid={"id": UI}, txnNumber=1
    ),
    command(
        {"applyOps": [], "count": 1}, lsid={"id": UI}, txnNumber=1, prevOpTime={"ts": Timestamp(1_700_000_000, 1)}
    ),
    command({"commitTransaction": 1}, lsid={"id": UI}, txnNumber=1),
]


GOOD = insert({"_id": "after all that", "a": 1})


def survives(content: bytes) -> bool:
    """Apply what can be read, then tell whether a good entry still goes in."""
    site = Site()
    engine = Engine(site.documents, site.waiting, Namespaces(rename={"airport": "station"}))
    try:
        for one in recorded([content]):
            outcome = engine.apply(one)
            assert outcome.applied >= 0 and outcome.skipped >= 0
            assert all(refusal.reason and isinstance(refusal.ns, str) for refusal in outcome.refused)
    except Corrupt as error:
        assert "\n" not in str(error)
    return unharmed(site)


def unharmed(site: Site) -> bool:
    """Tell whether a good entry goes in, and everything can be read."""
    return site.apply(GOOD).applied == 1 and bool(site.bytes())


@pytest.mark.parametrize("packing", [None, 0, 3])
def test_mutated_bytes_never_bring_down_reader_or_engine(packing: int | None) -> None:
    content = b"".join(SEEDS) if packing is None else b"".join(write_tunnel(SEEDS, packing=packing, in_block=3))
    dice = random.Random(7)
    for _ in range(600):
        bad = bytearray(content)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(bad))
            how = dice.randrange(4)
            if how == 0:
                bad[at] ^= 1 << dice.randrange(8)
            elif how == 1:
                bad[at] = dice.choice((0, 1, 3, 4, 0x7F, 0x80, 0xFF))
            elif how == 2:
                del bad[at : at + dice.randint(1, 9)]
            else:
                bad[at:at] = dice.randbytes(dice.randint(1, 5))
        assert survives(bytes(bad))


@given(st.binary(max_size=200))
def test_random_bytes_are_corrupt_or_read(content: bytes) -> None:
    assert survives(content)
    assert survives(len(content).to_bytes(4, "little") + content[4:])


names = st.sampled_from([
    "", "_id", "a", "a.b", "a.0", "0", "$set", "$unset", "$v", "diff", "d", "u", "i", "b", "sa", "s0", "u0", "l",
    "o", "op", "ns", "o2", "ui", "ts", "applyOps", "partialTxn", "prepare", "count", "create", "drop",
    "renameCollection", "to", "dropDatabase", "lsid", "txnNumber", "prevOpTime", "multiOpType", "url", "$ref",
    "$id",
])  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 3) | st.floats()
    | st.sampled_from(["i", "u", "d", "c", "n", NS, "airport.$cmd", "airport", "x", "", "aW1hZ2U="])
    | st.binary(max_size=4) | st.sampled_from([Timestamp(1_700_000_000, 1), UI, bson.ObjectId(bytes(12))])
)  # fmt: skip
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5), max_leaves=14
)
documents = st.dictionaries(names, anything, max_size=5)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from("iudc"), "ns": st.sampled_from([NS, "airport.$cmd"]) | anything},
            optional={
                "o": documents | anything,
                "o2": st.sampled_from([{"_id": 1}, {"_id": 2}]) | anything,
                "ts": st.builds(Timestamp, st.integers(0, 3), st.integers(0, 3)) | anything,
                "ui": st.just(UI) | anything,
                "lsid": st.just({"id": UI}) | anything,
                "txnNumber": st.integers(0, 1) | anything,
                "prevOpTime": st.just({"ts": Timestamp(1, 1)}) | anything,
            },
        ),
        max_size=5,
    )
)
def test_any_fields_of_any_type_are_applied_or_set_aside(fields: list[dict[str, Any]]) -> None:
    site = Site()
    site.apply(insert({"_id": 1, "a": [{"b": 1}], "url": "aW1hZ2U="}))
    for one in fields:
        site.apply(bson.encode(one, codec_options=CODEC))
    assert unharmed(site)


@settings(max_examples=examples(60), deadline=None)
@given(documents, documents)
def test_any_update_of_any_document_is_applied_or_set_aside(document: dict[str, Any], o: dict[str, Any]) -> None:
    site = Site()
    site.apply(insert({**document, "_id": 1}), update(1, o), change(1, o), update(1, {"$set": o}))
    assert unharmed(site)


def test_what_a_bundle_asks_for_in_memory_is_bounded() -> None:
    site = Site()
    site.apply(insert({"_id": 1, "a": []}))
    huge = {f"a.{1_000_000 + number}": 1 for number in range(3)}
    assert site.apply(update(1, {"$set": {"a.1499999": 1}})).applied == 1
    assert site.apply(update(2, {"$set": huge}, b=True)).refused == ()
    assert (
        len(
            site.apply(
                insert({"_id": 3, "a": [], "b": []}), update(3, {"$set": {"a.1400000": 1, "b.1400000": 1}})
            ).refused
        )
        == 1
    )


@needs_samples
def test_flipped_bits_in_real_oplogs_never_bring_down_reader_or_engine() -> None:
    dice = random.Random(11)
    for file in sorted((SAMPLES / "oplog").glob("*.bson")):
        content = file.read_bytes()[:20_000]
        for _ in range(60):
            bad = bytearray(content)
            bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
            assert survives(bytes(bad))


def test_an_entry_without_anything_is_set_aside() -> None:
    raw = entry("u", NS, {})
    (refusal,) = Site().apply(raw).refused
    assert RawEntry(refusal.entry) == RawEntry(raw)


def test_an_entry_with_text_that_is_no_utf8_is_set_aside_and_never_blocks_what_follows() -> None:
    raws = [bytes(insert({"_id": number, "name": "a name"})) for number in (1, 2, 3)]
    raws[1] = raws[1].replace(b"a name", b"a n\xffme")
    documents = MemoryDocuments()
    engine = Engine(documents, MemoryWaiting(), Namespaces())
    outcomes = [engine.apply(entry) for entry in entries([b"".join(raws)])]
    assert [len(outcome.refused) for outcome in outcomes] == [0, 1, 0]
    assert "utf-8" in outcomes[1].refused[0].reason.lower()
    assert [documents.get(NS, number) is not None for number in (1, 2, 3)] == [True, False, True]
