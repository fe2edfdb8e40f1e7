from __future__ import annotations

import base64
from typing import Any

import blake3
import pytest

from isthmus.gallery.memory import MemoryDocuments, MemoryWaiting
from isthmus.gallery.ports import Documents, Waiting
from isthmus.gallery.record import Held

NS = "airport.people"


def test_documents_are_copied_on_their_way_in_and_out() -> None:
    documents: Documents = MemoryDocuments()
    given: dict[str, Any] = {"_id": 1, "tags": ["a", {"b": 1}]}
    documents.put(NS, given)
    given["tags"][1]["b"] = 2
    taken = documents.get(NS, 1)
    assert taken == {"_id": 1, "tags": ["a", {"b": 1}]}
    taken["tags"].append("c")
    assert documents.get(NS, 1) == {"_id": 1, "tags": ["a", {"b": 1}]}


def test_keys_of_different_types_are_different() -> None:
    documents = MemoryDocuments()
    for key in (1, 1.0, "1", True):
        documents.put(NS, {"_id": key})
    assert len(documents.documents(NS)) == 4
    assert documents.delete(NS, 1.0) and not documents.delete(NS, 1.0)
    assert documents.get(NS, 1) == {"_id": 1} and documents.get(NS, 2) is None


def test_a_document_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="_id"):
        MemoryDocuments().put(NS, {"name": "An"})


def test_an_image_is_held_apart_and_text_that_is_none_is_kept() -> None:
    documents = MemoryDocuments()
    documents.put(NS, {"_id": 1, "url": base64.b64encode(b"image").decode()})
    documents.put(NS, {"_id": 2, "url": "http://elsewhere/"})
    digest = blake3.blake3(b"image").digest()
    assert documents.get(NS, 1) == {"_id": 1, "url": Held(digest, 5)} and documents.content == {digest: b"image"}
    text = documents.get(NS, 2) or {}
    assert text["url"] == Held(blake3.blake3(b"http://elsewhere/").digest(), 17, "http://elsewhere/")
    documents.put(NS, documents.get(NS, 1) or {})
    assert documents.get(NS, 1) == {"_id": 1, "url": Held(digest, 5)}


def test_collections_exist_empty_and_can_be_renamed_over_others() -> None:
    documents = MemoryDocuments()
    documents.create(NS)
    documents.create("airport.b")
    documents.put("airport.b", {"_id": 1})
    documents.create("airport.b")
    assert documents.namespaces() == ["airport.b", NS] and documents.everything() == {"airport.b": [{"_id": 1}]}
    documents.rename(NS, "airport.b")
    assert documents.namespaces() == ["airport.b"] and documents.documents("airport.b") == []
    documents.put("airports.b", {"_id": 1})
    documents.drop_database("airport")
    documents.drop("nothing.there")
    assert documents.namespaces() == ["airports.b"]


def test_what_waits_is_kept_in_order_until_it_is_forgotten() -> None:
    waiting: Waiting = MemoryWaiting()
    for entry in (b"b", b"a"):
        waiting.add("one", entry)
    waiting.add("two", b"c")
    assert waiting.entries("one") == [b"b", b"a"] and waiting.entries("none") == []
    waiting.forget("one")
    waiting.forget("one")
    assert waiting.entries("one") == [] and waiting.entries("two") == [b"c"]
