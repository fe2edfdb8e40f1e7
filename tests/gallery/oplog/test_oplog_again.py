"""Histories as a server would write them: applied once they lead to its content, applied again to the same."""

from __future__ import annotations

import copy
from typing import Any

import bson
from bson.binary import Binary
from bson.int64 import Int64
from bson.timestamp import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.gallery.oplog.engine import Outcome
from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.mongoshake import recorded, write_tunnel
from oplog_making import Site, difference, entry

names = st.sampled_from(["a", "b", "s", "u", "0"])
values = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["x", ""]) | st.sampled_from([b"qwer", b"qwe", b"qty"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(names, values, max_size=5)
SESSION = {"id": Binary(bytes(16), 4)}


class Server:
    """Collections with UUIDs, and the oplog of what happens to them."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self.collections: dict[str, tuple[Binary, dict[int, dict[str, Any]]]] = {}
        self.oplog: list[bytes] = []
        self._made = 0

    def __repr__(self) -> str:
        return "\n".join(
            str({name: fields[name] for name in ("op", "ns", "o")}) for fields in map(bson.decode, self.oplog)
        )

    def documents(self) -> dict[str, list[bytes]]:
        return {
            ns: [bson.encode(found[key]) for key in sorted(found)]
            for ns, (_, found) in sorted(self.collections.items())
            if found
        }

    def write(self, op: str, ns: str, o: dict[str, Any], **more: Any) -> None:
        self.oplog.append(entry(op, ns, o, len(self.oplog) + 1, **more))

    def command(self, o: dict[str, Any], **more: Any) -> None:
        self.write("c", "m.$cmd", o, **more)

    def collection(self, ns: str = "") -> str:
        ns = ns or self._draw(st.sampled_from(["m.a", "m.b", "m.c"]))
        if ns not in self.collections:
            self._made += 1
            ui = Binary(bytes([self._made % 256] * 16), 4)
            self.collections[ns] = (ui, {})
            self.command({"create": ns[2:]}, ui=ui)
        return ns

    def operation(self, taken: set[tuple[str, int]]) -> dict[str, Any]:
        """Change one document, not one that is `taken`, and return the operation as the oplog has it."""
        ns = self.collection()
        ui, found = self.collections[ns]
        key = self._draw(st.integers(0, 2).filter(lambda key: (ns, key) not in taken))
        body = self._draw(bodies)
        base = {"ns": ns, "ui": ui}
        if key not in found:
            found[key] = {"_id": key, **body}
            return {"op": "i", **base, "o": found[key]}
        kind = self._draw(st.sampled_from(["difference", "difference", "difference", "replace", "delete"]))
        if kind == "delete":
            del found[key]
            return {"op": "d", **base, "o": {"_id": key}}
        before, found[key] = found[key], {"_id": key, **body}
        o: dict[str, Any] = found[key]
        if kind == "difference" and (diff := difference(before, found[key])):
            o = {"$v": 2, "diff": diff}
        return {"op": "u", **base, "o": copy.deepcopy(o), "o2": {"_id": key}}

    def single(self) -> None:
        operation = self.operation(set())
        self.write(operation.pop("op"), operation.pop("ns"), operation.pop("o"), **operation)

    def transaction(self) -> None:
        for ns in ("m.a", "m.b", "m.c"):
            self.collection(ns)  # none is made within a transaction here
        before = copy.deepcopy(self.collections)
        parts = [
            [self.operation(set()) for _ in range(self._draw(st.integers(1, 2)))]
            for _ in range(self._draw(st.integers(1, 3)))
        ]
        ending = self._draw(st.sampled_from(["plain", "commit", "abort"]))
        self._made += 1
        session: dict[str, Any] = {"lsid": SESSION, "txnNumber": Int64(self._made)}
        previous = Timestamp(0, 0)
        for place, operations in enumerate(parts):
            last = place == len(parts) - 1
            mark = {} if last and ending == "plain" else {"prepare": True} if last else {"partialTxn": True}
            self.command({"applyOps": operations, **mark}, prevOpTime={"ts": previous, "t": Int64(1)}, **session)
            previous = Timestamp(1_700_000_000, len(self.oplog))
        if ending == "plain":
            return
        touched = {(one["ns"], (one.get("o2") or one["o"])["_id"]) for part in parts for one in part}
        after = self.collections
        if ending == "abort":
            self.collections = before
        free = [key for key in range(3) if all((ns, key) not in touched for ns in self.collections)]
        if free and self._draw(st.booleans()):  # others work on while it is prepared
            operation = self.operation(touched | {(ns, key) for ns in after for key in set(range(3)) - set(free)})
            self.write(operation.pop("op"), operation.pop("ns"), operation.pop("o"), **operation)
        self.command({f"{ending}Transaction": 1}, **session)

    def rename(self) -> None:
        ns = self.collection()
        to = self._draw(st.sampled_from([other for other in ("m.a", "m.b", "m.c") if other != ns]))
        ui, _ = self.collections[ns]
        replaced = self.collections.get(to)
        more = {"dropTarget": replaced[0]} if replaced else {}
        self.collections[to] = self.collections.pop(ns)
        self.command({"renameCollection": ns, "to": to, "stayTemp": False, **more}, ui=ui)

    def drop(self) -> None:
        ns = self.collection()
        ui, _ = self.collections.pop(ns)
        self.command({"drop": ns[2:]}, ui=ui)

    def drop_database(self) -> None:
        self.collections.clear()
        self.command({"dropDatabase": 1})

    def note(self) -> None:
        self.write("n", "", {"msg": "periodic noop"})


STEPS = ["single"] * 6 + ["transaction"] * 2 + ["rename", "drop", "drop_database", "note"]


@st.composite
def histories(draw: Any) -> Server:
    server = Server(draw)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=14)):
        getattr(server, step)()
    return server


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), st.data())
def test_a_history_leads_to_the_servers_content_and_again_from_any_entry_on(server: Server, data: Any) -> None:
    site = Site()
    assert site.apply(*server.oplog).refused == ()
    assert site.bytes() == server.documents()
    for _ in range(3):
        begin = data.draw(st.integers(0, len(server.oplog)))
        site.apply(*server.oplog[begin:])
        assert site.bytes() == server.documents()
    assert all(name == "renamed" for name in site.waiting.transactions())


@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), st.data())
def test_every_beginning_of_a_history_is_the_same_when_its_end_is_applied_again(server: Server, data: Any) -> None:
    site = Site()
    cut = data.draw(st.integers(0, len(server.oplog)))
    site.apply(*server.oplog[:cut])
    there = site.bytes()
    again = data.draw(st.integers(0, cut))
    site.apply(*server.oplog[again:cut])
    assert site.bytes() == there
    site.apply(*server.oplog[cut:])
    assert site.bytes() == server.documents()


@settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_two_sites_come_to_the_same_whatever_file_brought_the_entries(server: Server) -> None:
    one, other, third = Site(), Site(), Site()
    assert one.apply(*server.oplog) == other.apply(*(found.raw for found in recorded(server.oplog)))
    third.apply(*(found.raw for found in recorded(write_tunnel(server.oplog, in_block=3))))
    assert one.bytes() == other.bytes() == third.bytes()


paths = st.lists(st.sampled_from(["a", "b", "0", "1", "2"]), min_size=1, max_size=3)


def leads(document: Any, path: list[str]) -> bool:
    """Tell whether a server would have set this path."""
    for part in path:
        if isinstance(document, dict):
            if part not in document:
                return True
            document = document[part]
        elif isinstance(document, list) and part.isdigit():
            if int(part) >= len(document):
                return True
            document = document[int(part)]
        else:
            return False
    return True


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.tuples(paths, st.booleans(), values), min_size=1, max_size=10), st.data())
def test_path_updates_lead_again_to_the_same_fields_and_values(steps: list[Any], data: Any) -> None:
    site = Site()
    oplog = [entry("i", "m.a", {"_id": 1})]
    site.apply(oplog[0])
    for path, unset, value in steps:
        if leads(site.one(1, "m.a"), path):
            o = {"$unset" if unset else "$set": {".".join(path): True if unset else value}}
            oplog.append(entry("u", "m.a", {"$v": 1, **o}, len(oplog) + 1, o2={"_id": 1}))
            assert site.apply(oplog[-1]) == Outcome(applied=1)
    there = site.one(1, "m.a")
    site.apply(*oplog[data.draw(st.integers(0, len(oplog))) :])
    assert site.one(1, "m.a") == there  # as a mapping: their order may differ, see `modifiers`


def test_the_order_of_fields_is_what_path_updates_do_not_keep() -> None:
    def step(number: int, o: dict[str, Any]) -> bytes:
        return entry("u", "m.a", o, number, o2={"_id": 1})

    oplog = [
        entry("i", "m.a", {"_id": 1, "g": 0}, 1),
        step(2, {"$unset": {"g": True}}),
        step(3, {"$set": {"g": 1}}),
        step(4, {"$set": {"f": 1}}),
    ]
    site = Site()
    site.apply(*oplog)
    assert list(site.one(1, "m.a") or {}) == ["_id", "g", "f"]
    site.apply(*oplog[1:])
    assert list(site.one(1, "m.a") or {}) == ["_id", "f", "g"]
    site.apply(*oplog)
    assert list(site.one(1, "m.a") or {}) == ["_id", "g", "f"]


def test_an_entry_can_be_applied_many_times_from_one_reading() -> None:
    raw = RawEntry(entry("u", "m.a", {"$set": {"a": {}, "a.b": []}}, o2={"_id": 1}))
    assert bson.encode(raw.fields) == raw.raw
    site = Site()
    site.apply(entry("i", "m.a", {"_id": 1}), raw.raw, raw.raw)
    assert bson.encode(raw.fields) == raw.raw
