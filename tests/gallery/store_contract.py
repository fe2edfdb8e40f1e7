"""What every store of documents must do, as `gallery.ports.Documents` and `gallery.ports.Waiting` tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from bson.binary import Binary
from bson.int64 import Int64
from bson.objectid import ObjectId

from gallery_making import held_of, jpeg, text_of
from isthmus.gallery.ports import Documents, Waiting
from isthmus.gallery.record import Held


class Store(Documents, Waiting, Protocol):
    """Both ports in one open transaction."""


class DocumentsContract:
    """Derive from it and give the fixture `store`."""

    @pytest.fixture
    def store(self) -> Iterator[Any]:
        raise NotImplementedError

    def test_a_document_comes_back_as_it_was_put(self, store: Store) -> None:
        document = {
            "_id": 1,
            "name": "Ä",
            "n": Int64(5),
            "list": [1, {"a": None}],
            "raw": b"\0\1",
            "uuid": Binary(b"0123456789abcdef", 4),
            "real": 0.1,
        }
        store.put("a.b", document)
        assert store.get("a.b", 1) == document
        assert list(store.get("a.b", 1) or {}) == list(document)

    def test_what_is_not_there_is_none(self, store: Store) -> None:
        assert store.get("a.b", 1) is None
        assert store.delete("a.b", 1) is False
        store.put("a.b", {"_id": 1})
        assert store.get("a.b", 2) is None
        assert store.get("a.c", 1) is None

    def test_a_second_put_replaces(self, store: Store) -> None:
        store.put("a.b", {"_id": 1, "x": 1})
        store.put("a.b", {"_id": 1, "y": 2})
        assert store.get("a.b", 1) == {"_id": 1, "y": 2}
        assert store.delete("a.b", 1) is True
        assert store.get("a.b", 1) is None

    @pytest.mark.parametrize("key", ["x", 7, ObjectId("0" * 24), {"a": 1, "b": 2}, Binary(b"xy", 5), None, True])
    def test_keys_of_any_type_are_found(self, store: Store, key: Any) -> None:
        store.put("a.b", {"_id": key, "v": 1})
        assert (store.get("a.b", key) or {})["v"] == 1
        assert store.delete("a.b", key) is True

    def test_a_text_and_a_number_are_two_keys(self, store: Store) -> None:
        store.put("a.b", {"_id": 1, "v": "number"})
        store.put("a.b", {"_id": "1", "v": "text"})
        assert (store.get("a.b", 1) or {})["v"] == "number"
        assert (store.get("a.b", "1") or {})["v"] == "text"

    def test_a_document_without_an_id_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="_id"):
            store.put("a.b", {"x": 1})

    def test_an_image_is_held_by_its_digest(self, store: Store) -> None:
        store.put("a.b", {"_id": 1, "url": text_of(jpeg(1)), "x": 2})
        found = store.get("a.b", 1)
        assert found == {"_id": 1, "url": held_of(jpeg(1)), "x": 2}
        assert list(found) == ["_id", "url", "x"]

    def test_a_held_image_can_be_put_back(self, store: Store) -> None:
        store.put("a.b", {"_id": 1, "url": text_of(jpeg(1))})
        document = store.get("a.b", 1) or {}
        document["name"] = "n"
        store.put("a.b", document)
        assert store.get("a.b", 1) == {"_id": 1, "url": held_of(jpeg(1)), "name": "n"}

    @pytest.mark.parametrize("text", ["http://cdn/x.jpg", "bäh", "QQ=", "a b c d "])
    def test_a_text_that_is_no_image_is_kept(self, store: Store, text: str) -> None:
        store.put("a.b", {"_id": 1, "url": text})
        found = (store.get("a.b", 1) or {})["url"]
        assert isinstance(found, Held)
        assert found.text == text
        store.put("a.b", {"_id": 1, "url": found, "x": 1})
        assert (store.get("a.b", 1) or {})["url"] == found

    def test_an_image_field_of_another_type_is_an_ordinary_field(self, store: Store) -> None:
        store.put("a.b", {"_id": 1, "url": 5})
        store.put("a.b", {"_id": 2, "url": None})
        assert store.get("a.b", 1) == {"_id": 1, "url": 5}
        assert store.get("a.b", 2) == {"_id": 2, "url": None}

    def test_what_is_handed_out_may_be_changed(self, store: Store) -> None:
        store.put("a.b", {"_id": 1, "deep": {"list": [1]}})
        (store.get("a.b", 1) or {})["deep"]["list"].append(2)
        assert store.get("a.b", 1) == {"_id": 1, "deep": {"list": [1]}}

    def test_what_is_handed_in_is_not_kept(self, store: Store) -> None:
        document = {"_id": 1, "deep": {"list": [1]}}
        store.put("a.b", document)
        document["deep"]["list"].append(2)  # type: ignore[index]
        assert store.get("a.b", 1) == {"_id": 1, "deep": {"list": [1]}}

    def test_collections_are_listed_sorted_and_may_be_empty(self, store: Store) -> None:
        store.create("z.z")
        store.put("a.b", {"_id": 1})
        store.create("a.b")
        assert store.namespaces() == ["a.b", "z.z"]
        assert store.get("a.b", 1) == {"_id": 1}
        store.delete("a.b", 1)
        assert store.namespaces() == ["a.b", "z.z"]

    def test_a_dropped_collection_is_gone_and_can_come_again(self, store: Store) -> None:
        store.put("a.b", {"_id": 1})
        store.put("a.c", {"_id": 1})
        store.drop("a.b")
        store.drop("a.b")
        assert store.namespaces() == ["a.c"]
        assert store.get("a.b", 1) is None
        store.put("a.b", {"_id": 2})
        assert store.get("a.b", 1) is None
        assert store.namespaces() == ["a.b", "a.c"]

    def test_a_dropped_database_takes_its_collections_along_and_no_others(self, store: Store) -> None:
        for ns in ("a.b", "a.c.d", "ab.c"):
            store.put(ns, {"_id": 1})
        store.drop_database("a")
        assert store.namespaces() == ["ab.c"]

    def test_a_renamed_collection_takes_the_place_of_another(self, store: Store) -> None:
        store.put("a.b", {"_id": 1, "url": text_of(jpeg(1))})
        store.put("a.c", {"_id": 2})
        store.rename("a.b", "a.c")
        assert store.namespaces() == ["a.c"]
        assert store.get("a.c", 1) == {"_id": 1, "url": held_of(jpeg(1))}
        assert store.get("a.c", 2) is None

    def test_what_waits_is_told_by_name_with_its_size_and_first_entry(self, store: Store) -> None:
        assert store.held() == []
        for transaction, entry in (("b", b"one"), ("a", b"first"), ("b", b"three"), ("a", b"")):
            store.add(transaction, entry)
        assert store.held() == [("a", 5, b"first"), ("b", 8, b"one")]
        store.forget("a")
        assert store.held() == [("b", 8, b"one")]

    def test_waiting_entries_come_back_in_order_until_they_are_forgotten(self, store: Store) -> None:
        store.add("t1", b"one")
        store.add("t2", b"other")
        store.add("t1", b"two")
        assert store.entries("t1") == [b"one", b"two"]
        store.forget("t1")
        assert store.entries("t1") == []
        assert store.entries("t2") == [b"other"]
