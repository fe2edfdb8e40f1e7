"""The contract of documents, kept by every store that has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gallery.store_contract import DocumentsContract
from gallery_making import sqlite_set
from isthmus.core.digest import new_key
from isthmus.gallery.memory import MemoryDocuments, MemoryWaiting
from isthmus.gallery.store.mongo import MongoSet


class _Both(MemoryDocuments, MemoryWaiting):
    def __init__(self) -> None:
        MemoryDocuments.__init__(self)
        MemoryWaiting.__init__(self)


class TestMemory(DocumentsContract):
    @pytest.fixture
    def store(self) -> Any:
        return _Both()


class TestSqlite(DocumentsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        held = sqlite_set(tmp_path)
        with held.changing() as change:
            change.begin_stream(new_key())
            yield change
        held.close()


class TestSqlitePacked(DocumentsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        held = sqlite_set(tmp_path, packed=True)
        with held.changing() as change:
            change.begin_stream(new_key())
            yield change
        held.close()


class TestMongo(DocumentsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        mongomock = pytest.importorskip("mongomock")
        held = MongoSet(mongomock.MongoClient(), tmp_path, "set1", check=False, transactions=False, codec=None)
        with held.changing() as change:
            change.begin_stream(new_key())
            yield change
        held.close()
