from __future__ import annotations

from typing import Any

import pytest
from bson.binary import Binary

from isthmus.gallery.oplog.engine import Outcome
from isthmus.gallery.oplog.namespaces import Namespaces
from oplog_making import Site, change, command, delete, entry, insert, several


@pytest.mark.parametrize(
    ("rules", "ns", "name"),
    [
        (Namespaces(), "a.b", "a.b"),
        (Namespaces(), "a.b.c", "a.b.c"),
        (Namespaces(), "admin.x", None),
        (Namespaces(), "config.transactions", None),
        (Namespaces(), "local.oplog.rs", None),
        (Namespaces(), "a.system.views", None),
        (Namespaces(allow=("*",)), "a.system.views", None),
        (Namespaces(allow=("a",)), "a.system.buckets.t", None),
        (Namespaces(allow=("a.system.buckets.*",)), "a.system.buckets.t", "a.system.buckets.t"),
        (Namespaces(allow=("config",)), "config.x", "config.x"),
        (Namespaces(allow=("a",)), "a.b", "a.b"),
        (Namespaces(allow=("a",)), "ab.b", None),
        (Namespaces(allow=("a.b",)), "a.bc", None),
        (Namespaces(allow=("a.b*",)), "a.bc.d", "a.bc.d"),
        (Namespaces(allow=("a.(b",)), "a.(b", "a.(b"),
        (Namespaces(deny=("a",)), "a.b", None),
        (Namespaces(allow=("a",), deny=("*.tmp*",)), "a.tmp.1", None),
        (Namespaces(rename={"a": "x"}), "a.b.c", "x.b.c"),
        (Namespaces(rename={"a": "x", "a.b": "y.z"}), "a.b", "y.z"),
        (Namespaces(rename={"a": "x", "a.b": "y.z"}), "a.c", "x.c"),
    ],
)
def test_rules_say_what_is_taken_and_under_what_name(rules: Namespaces, ns: str, name: str | None) -> None:
    assert rules.of(ns) == name
    assert rules.of(ns) == name


@pytest.mark.parametrize(
    "rules",
    [
        {"allow": ("",)},
        {"deny": (".b",)},
        {"rename": {"a": "b.c"}},
        {"rename": {"a.b": "c"}},
        {"rename": {"a.*": "b.*"}},
        {"rename": {"": "b"}},
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pattern|rename"):
        Namespaces(**rules)


def op(kind: str, ns: str, o: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"op": kind, "ns": ns, "o": o, **more}


def test_what_is_left_out_is_left_out_within_apply_ops_too() -> None:
    site = Site(Namespaces(deny=("airport.secret",)))
    outcome = site.apply(
        several(
            [
                op("i", "airport.people", {"_id": 1}),
                op("i", "airport.secret", {"_id": 2}),
                op("i", "airport.secret", {"broken": True}),
                op("c", "admin.$cmd", {"applyOps": [op("i", "airport.secret", {"_id": 3})]}),
            ]
        ),
        command({"create": "secret"}),
        command({"drop": "secret"}),
        insert({"_id": 4}, ns="airport.secret"),
    )
    assert outcome == Outcome(applied=1, skipped=6)
    assert site.documents.namespaces() == ["airport.people"]


def test_renames_hold_for_documents_and_commands_and_within_apply_ops() -> None:
    site = Site(Namespaces(rename={"airport": "station", "port.people": "station.sailors"}))
    site.apply(
        command({"create": "empty"}),
        insert({"_id": 1, "a": 0}),
        change(1, {"u": {"a": 1}}),
        several([op("i", "port.people", {"_id": 2}), op("i", "airport.people", {"_id": 3})]),
        delete(3),
    )
    assert site.bytes().keys() == {"station.people", "station.sailors"}
    assert site.all("station.people") == [{"_id": 1, "a": 1}] and site.all("station.sailors") == [{"_id": 2}]
    site.apply(command({"renameCollection": "airport.people", "to": "airport.staff"}), command({"drop": "empty"}))
    assert site.documents.namespaces() == ["station.sailors", "station.staff"]


def test_dropping_a_database_drops_what_came_from_it_and_nothing_else() -> None:
    rules = Namespaces(deny=("airport.kept",), rename={"airport": "station", "port.people": "station.sailors"})
    site = Site(rules)
    site.apply(insert({"_id": 1}), insert({"_id": 2}, ns="port.people"), insert({"_id": 3}, ns="other.people"))
    site.documents.put("station.kept", {"_id": 4})
    site.apply(command({"dropDatabase": 1}))
    assert site.documents.namespaces() == ["other.people", "station.kept", "station.sailors"]
    site.apply(command({"dropDatabase": 1}, database="port"))
    assert site.documents.namespaces() == ["other.people", "station.kept"]


def test_a_collection_that_is_renamed_out_of_the_selection_goes_and_one_that_comes_in_is_refused() -> None:
    site = Site(Namespaces(deny=("airport.tmp*",)))
    site.apply(insert({"_id": 1}))
    assert site.apply(command({"renameCollection": "airport.people", "to": "airport.tmp1"})) == Outcome(applied=1)
    assert site.documents.namespaces() == []
    (refusal,) = site.apply(command({"renameCollection": "airport.tmp1", "to": "airport.people"})).refused
    assert "airport.tmp1, which is left out" in refusal.reason and refusal.ns == "airport.people"
    assert site.apply(command({"renameCollection": "airport.tmp1", "to": "airport.tmp2"})) == Outcome(skipped=1)


def ui(number: int) -> Binary:
    return Binary(bytes([number] * 16), 4)


def test_entries_from_before_a_rename_find_their_collection_when_they_come_again() -> None:
    site = Site()
    older = insert({"_id": "before"}, 1, ns="airport.a", ui=ui(1))
    history = [
        insert({"_id": "target"}, 2, ns="airport.b", ui=ui(2)),
        insert({"_id": "x"}, 3, ns="airport.a", ui=ui(1)),
        command({"renameCollection": "airport.a", "to": "airport.b", "dropTarget": ui(2)}, 4, ui=ui(1)),
        command({"create": "a"}, 5, ui=ui(3)),
        insert({"_id": "y"}, 6, ns="airport.a", ui=ui(3)),
        insert({"_id": "z"}, 7, ns="airport.b", ui=ui(1)),
    ]
    site.apply(older, *history)
    after = site.bytes()
    assert [one["_id"] for one in site.all("airport.b")] == ["x", "z", "before"]
    for begin in range(len(history)):
        assert site.apply(*history[begin:]).refused == ()
        assert site.bytes() == after


def test_many_renames_are_remembered_within_bounds() -> None:
    site = Site()
    site.apply(command({"create": "c0"}, 1, ui=ui(1)))
    for number in range(600):
        o = {"renameCollection": f"airport.c{number}", "to": f"airport.c{number + 1}"}
        site.apply(entry("c", "airport.$cmd", o, number + 2, ui=ui(1)))
    assert site.documents.namespaces() == ["airport.c600"]
    assert 100 <= len(site.waiting.entries("renamed")) <= 256
    site.apply(insert({"_id": 1}, 599, ns="airport.c597", ui=ui(1)))
    assert site.documents.namespaces() == ["airport.c600"]
