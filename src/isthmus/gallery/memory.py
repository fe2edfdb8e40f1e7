"""Collections in memory: for tests, and the measure of what the oplog engine itself costs."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import blake3
import bson

from isthmus.gallery.record import IMAGE_FIELD, Document, Held


class MemoryDocuments:
    """Documents, as the port tells. `content` holds the images' bytes by their digest."""

    def __init__(self) -> None:
        self._collections: dict[str, dict[bytes, Document]] = {}
        self.content: dict[bytes, bytes] = {}

    def get(self, ns: str, key: Any) -> Document | None:
        """Return a copy of the document whose `_id` is `key`."""
        document = self._collections.get(ns, {}).get(_key(key))
        return None if document is None else _copied(document)

    def put(self, ns: str, document: Document) -> None:
        """Add or replace the document with this `_id`."""
        if "_id" not in document:
            raise ValueError("a document without an _id")
        copied: Document = _copied(document)
        image = copied.get(IMAGE_FIELD)
        if isinstance(image, str):
            copied[IMAGE_FIELD] = self._held(image)
        self._collections.setdefault(ns, {})[_key(document["_id"])] = copied

    def delete(self, ns: str, key: Any) -> bool:
        """Remove the document; False where there was none."""
        return self._collections.get(ns, {}).pop(_key(key), None) is not None

    def create(self, ns: str) -> None:
        """Make an empty collection."""
        self._collections.setdefault(ns, {})

    def drop(self, ns: str) -> None:
        """Remove a collection."""
        self._collections.pop(ns, None)

    def drop_database(self, database: str) -> None:
        """Remove all collections of a database."""
        for ns in self.namespaces():
            if ns.startswith(database + "."):
                self.drop(ns)

    def rename(self, ns: str, to: str) -> None:
        """Give a collection another name."""
        self._collections[to] = self._collections.pop(ns)

    def namespaces(self) -> list[str]:
        """List the collections, sorted."""
        return sorted(self._collections)

    def documents(self, ns: str) -> list[Document]:
        """Return copies of a collection's documents, by key."""
        return [_copied(document) for _, document in sorted(self._collections.get(ns, {}).items())]

    def everything(self) -> dict[str, list[Document]]:
        """Return copies of all documents by namespace; empty collections are left out."""
        return {ns: found for ns in self.namespaces() if (found := self.documents(ns))}

    def _held(self, text: str) -> Held:
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raw = text.encode()
            return Held(blake3.blake3(raw).digest(), len(raw), text)
        digest = blake3.blake3(content).digest()
        self.content[digest] = content
        return Held(digest, len(content))


class MemoryWaiting:
    """Waiting, as the port tells."""

    def __init__(self) -> None:
        self._kept: dict[str, list[bytes]] = {}

    def add(self, transaction: str, entry: bytes) -> None:
        """Keep one more entry."""
        self._kept.setdefault(transaction, []).append(entry)

    def entries(self, transaction: str) -> list[bytes]:
        """Return what was kept."""
        return list(self._kept.get(transaction, ()))

    def forget(self, transaction: str) -> None:
        """Drop what was kept."""
        self._kept.pop(transaction, None)

    def held(self) -> list[tuple[str, int, bytes]]:
        """Tell what is kept, as the port tells."""
        return [(name, sum(map(len, kept)), kept[0]) for name, kept in sorted(self._kept.items())]

    def transactions(self) -> list[str]:
        """List under what names something is kept, sorted."""
        return sorted(self._kept)


def _key(key: Any) -> bytes:
    return bson.encode({"_id": key})


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value
