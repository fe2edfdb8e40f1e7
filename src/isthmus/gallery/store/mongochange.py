"""One open transaction of the store over MongoDB: documents and waiting operations as the engine changes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from isthmus.core.digest import Digest
from isthmus.core.position import Position
from isthmus.gallery.record import IMAGE_FIELD, Document, Held
from isthmus.gallery.store import codec, inline
from isthmus.gallery.store.bounds import Bounds
from isthmus.gallery.store.files import ImageFiles
from isthmus.gallery.store.intake import Intake, Ready
from isthmus.gallery.store.quarantine import without_images

_EMPTY = {"records": 0, "image_bytes": 0, "refused": 0, "vectors": 0}


class Place(Protocol):
    """Where a change happens: the set over MongoDB."""

    @property
    def stream(self) -> str: ...  # noqa: D102
    @property
    def own(self) -> Any: ...  # noqa: D102
    @property
    def intake(self) -> Intake: ...  # noqa: D102
    @property
    def files(self) -> ImageFiles: ...  # noqa: D102
    @property
    def bounds(self) -> Bounds: ...  # noqa: D102
    def collection(self, ns: str) -> Any: ...  # noqa: D102


class MongoChange:
    """The documents and waiting operations (`gallery.ports.Documents`, `Waiting`) of an open transaction."""

    def __init__(self, held: Place, session: Any) -> None:
        self._set, self._own, self._session = held, held.own, session
        row = self._one("sets", {"_id": held.stream}) or {"key": None, "epoch": 0, "seq": 0, "digest": bytes(32)}
        self.key: bytes | None = row["key"]
        self.digest = Digest(bytes(row["digest"]))
        self.position = Position(row["epoch"], row["seq"], self.digest) if row["epoch"] else None
        self.removes_images = False
        self._galleries: dict[str, Document] = {}
        self._loosened: set[bytes] = set()
        self._removed_in: set[str] = set()

    # Documents

    def get(self, ns: str, key: Any) -> Document | None:
        """Return the document whose `_id` is `key`; None where there is none."""
        row = self._one("records", {"_id": record_id(ns, codec.key_of(key))})
        return None if row is None else document_of(self._set.collection(row["ns"]), row, self._session)

    def put(self, ns: str, document: Document) -> None:
        """Add or replace the document with this `_id`. Raises ValueError where it has none."""
        if "_id" not in document:
            raise ValueError(f"a document of {ns} has no _id")
        key = codec.key_of(document["_id"])
        document, image, refused, text = self._taken(document)
        body, _ = codec.parted(document, image)
        digest, size = (None, 0) if image is None else (image.digest, image.size)
        if self.key is None:
            raise ValueError("the set follows no stream yet: its digests have no key")
        hashed = codec.hash_of(self.key, ns, key, digest, body)
        gallery = self._made(ns)
        old = self._one("records", {"_id": record_id(ns, key)})
        if old is not None and bytes(old["hash"]) == hashed and old["refused"] == refused:
            return
        row = {
            "_id": record_id(ns, key),
            "ns": ns,
            "key": key,
            "id": document["_id"],
            "image": digest,
            "size": size,
            "refused": refused,
            "hash": hashed,
            "changed": self._next(gallery),
            "vector_of": self._vector_of(digest),
        }
        self.digest = self.digest.plus(hashed)
        if old is None:
            self._own.removals.delete_one({"_id": row["_id"]}, session=self._session)
        else:
            self._uncount(gallery, old, digest)
        self._count(gallery, 1, row)
        shown = {} if image is None else {IMAGE_FIELD: text if refused is None else None}
        kept = {**document, **shown}
        here = self._set.collection(ns)
        here.delete_one({"_id": {"$eq": document["_id"]}}, session=self._session)
        here.insert_one(kept, session=self._session)
        self._own.records.replace_one({"_id": row["_id"]}, row, upsert=True, session=self._session)

    def delete(self, ns: str, key: Any) -> bool:
        """Remove the document; False where there was none."""
        old = self._one("records", {"_id": record_id(ns, codec.key_of(key))})
        if old is None:
            return False
        self._delete(old)
        return True

    def create(self, ns: str) -> None:
        """Make an empty collection; nothing happens where it is there."""
        self._made(ns)

    def drop(self, ns: str) -> None:
        """Remove a collection with all its documents. The empty collection itself goes with the next `tidy`."""
        gallery = self._gallery(ns)
        if gallery is None or not gallery["live"]:
            return
        for row in self._own.records.find({"ns": ns}, session=self._session):
            self._uncount(gallery, row, None)
        self._set.collection(ns).delete_many({}, session=self._session)
        self._own.records.delete_many({"ns": ns}, session=self._session)
        self._own.removals.delete_many({"ns": ns}, session=self._session)
        gallery.update(_EMPTY, live=False, floor=self._next(gallery))

    def drop_database(self, database: str) -> None:
        """Remove all collections of a database."""
        for ns in self.namespaces():
            if ns.partition(".")[0] == database:
                self.drop(ns)

    def rename(self, ns: str, to: str) -> None:
        """Give a collection another name; what was there under that name is gone."""
        if ns == to or ns not in self.namespaces():
            return
        self.drop(to)
        self.create(to)
        for row in list(self._own.records.find({"ns": ns}, session=self._session)):
            self.put(to, document_of(self._set.collection(row["ns"]), row, self._session))
        self.drop(ns)

    def namespaces(self) -> list[str]:
        """List the collections, sorted."""
        for row in self._own.galleries.find({"stream": self._set.stream}, session=self._session):
            self._galleries.setdefault(row["_id"], row)
        return sorted(ns for ns, gallery in self._galleries.items() if gallery["live"])

    # Waiting

    def add(self, transaction: str, entry: bytes) -> None:
        """Keep one more entry (its BSON) of an undecided transaction."""
        wanted = {"stream": self._set.stream, "transaction": transaction}
        number = self._own.waiting.count_documents(wanted, session=self._session)
        self._own.waiting.insert_one({**wanted, "number": number, "entry": entry}, session=self._session)

    def entries(self, transaction: str) -> list[bytes]:
        """Return what was kept, in the order in which it was added."""
        wanted = {"stream": self._set.stream, "transaction": transaction}
        rows = self._own.waiting.find(wanted, session=self._session).sort("number", 1)
        return [bytes(row["entry"]) for row in rows]

    def forget(self, transaction: str) -> None:
        """Drop what was kept."""
        wanted = {"stream": self._set.stream, "transaction": transaction}
        self._own.waiting.delete_many(wanted, session=self._session)

    def held(self) -> list[tuple[str, int, bytes]]:
        """Tell of each transaction its name, how many bytes it holds, and its first entry; sorted by name."""
        rows = self._own.waiting.find({"stream": self._set.stream}, session=self._session).sort("number", 1)
        held: dict[str, tuple[int, bytes]] = {}
        for row in rows:
            entry = bytes(row["entry"])
            size, first = held.get(row["transaction"], (0, entry))
            held[row["transaction"]] = size + len(entry), first
        return [(name, size, first) for name, (size, first) in sorted(held.items())]

    def forget_all(self) -> None:
        """Drop what was kept of every transaction."""
        self._own.waiting.delete_many({"stream": self._set.stream}, session=self._session)

    # What the target needs besides

    def begin_stream(self, key: bytes) -> None:
        """Take the key of the stream's digests; where another was used until now, hash every record anew."""
        if key == self.key:
            return
        self.key, self.digest = key, Digest()
        for ns in self.namespaces():
            for row in list(self._own.records.find({"ns": ns}, session=self._session)):
                found = document_of(self._set.collection(row["ns"]), row, self._session)
                image = found.get(IMAGE_FIELD) if row["image"] is not None else None
                body, _ = codec.parted(_plain(found), image)
                hashed = codec.hash_of(key, ns, row["key"], row["image"], body)
                self.digest = self.digest.plus(hashed)
                wanted = {"_id": row["_id"]}
                self._own.records.update_one(wanted, {"$set": {"hash": hashed}}, session=self._session)

    def delete_between(self, ns: str, after: bytes | None, before: bytes | None) -> int:
        """Remove records whose keys lie between two keys, both left alone; None: from the first, to the last."""
        bounds: Document = {"$gt": record_id(ns, after or b"")}
        if before is not None:
            bounds["$lt"] = record_id(ns, before)
        rows = list(self._own.records.find({"ns": ns, "_id": bounds}, session=self._session))
        for row in rows:
            self._delete(row)
        return len(rows)

    def note_position(self, most: int) -> None:
        """Remember the digest at the present position, and so many of those before."""
        assert self.position is not None
        at, mine = self.position, {"stream": self._set.stream}
        row = {**mine, "epoch": at.epoch, "seq": at.seq}
        self._own.seen.replace_one(row, {**row, "digest": str(at.digest)}, upsert=True, session=self._session)
        order = [("epoch", -1), ("seq", -1)]
        for old in list(self._own.seen.find(mine, session=self._session).sort(order).skip(most)):
            self._own.seen.delete_one({"_id": old["_id"]}, session=self._session)

    def set_aside(self, ns: str, reason: str, entry: bytes, at: datetime) -> None:
        """Keep an operation that cannot be applied, with its reason, without its images."""
        row = {"stream": self._set.stream, "at": at, "ns": ns, "reason": reason, "entry": without_images(entry)}
        self._own.quarantine.insert_one(row, session=self._session)

    def bound_quarantine(self, most: int) -> None:
        """Forget the oldest of more than so many operations that were set aside."""
        mine = {"stream": self._set.stream}
        for old in list(self._own.quarantine.find(mine, session=self._session).sort("_id", -1).skip(most)):
            self._own.quarantine.delete_one({"_id": old["_id"]}, session=self._session)

    def put_vector(self, model: str, digest: bytes, vector: bytes | None) -> None:
        """Store a vector; one of an image that no record has is dropped."""
        rows = list(self._own.records.find({"image": digest}, session=self._session))
        if not rows:
            return
        wanted = {"image": digest, "model": model}
        last = self._newest(digest, {})
        number = last["number"] + 1 if last else 1
        stored = {**wanted, "vector": vector, "number": number}
        self._own.vectors.replace_one(wanted, stored, upsert=True, session=self._session)
        named = self._vector_of(digest)
        for row in rows:
            gallery = self._made(row["ns"])
            gallery["vectors"] += (named is not None) - (row["vector_of"] is not None)
            new = {"vector_of": named, "changed": self._next(gallery)}
            self._own.records.update_one({"_id": row["_id"]}, {"$set": new}, session=self._session)

    def flush(self) -> None:
        """Write what was kept here: the last thing before the commit."""
        for ns in sorted(self._removed_in):
            self._bound_removals(ns)
        for ns, gallery in sorted(self._galleries.items()):
            self._own.galleries.replace_one({"_id": ns}, gallery, upsert=True, session=self._session)
        for digest in sorted(self._loosened):
            self._let_go(digest)
        at = self.position
        row = {
            "_id": self._set.stream, "key": self.key, "digest": self.digest.lanes,
            "epoch": at.epoch if at else 0, "seq": at.seq if at else 0,
        }  # fmt: skip
        self._own.sets.replace_one({"_id": self._set.stream}, row, upsert=True, session=self._session)

    def _taken(self, document: Document) -> tuple[Document, Ready | Held | None, str | None, str | None]:
        """Return the document, its image, why that is refused, and the base64 to be stored."""
        value = document.get(IMAGE_FIELD)
        if isinstance(value, Held):
            if value.text is not None:
                return {**document, IMAGE_FIELD: value.text}, None, None, None
            row = self._one("images", {"_id": value.digest})
            if row is None:
                raise ValueError(f"the image {value.digest.hex()[:16]} is not held")
            text = None if row["refused"] else inline.encoded(self._set.files.read(value.digest)).decode("ascii")
            return document, value, row["refused"], text
        ready = self._set.intake.take(value) if isinstance(value, str) else None
        if ready is None:
            return document, None, None, None
        self._keep(ready)
        return document, ready, ready.refused, inline.bare(str(value).encode()).decode()

    def _keep(self, ready: Ready) -> None:
        row = self._one("images", {"_id": ready.digest})
        if row is not None and row["refused"] == ready.refused:
            if ready.refused is None and not self._set.files.holds(ready.digest, ready.content):
                self._set.files.place(ready.digest, ready.content)
            return
        self._own.unlink.delete_one({"_id": ready.digest}, session=self._session)
        new = {"_id": ready.digest, "size": ready.size, "refused": ready.refused}
        self._own.images.replace_one({"_id": ready.digest}, new, upsert=True, session=self._session)
        if ready.refused is None:
            self._set.files.place(ready.digest, ready.content)
        self._loosened.add(ready.digest)

    def _delete(self, old: Document) -> None:
        gallery = self._made(old["ns"])
        self._uncount(gallery, old, None)
        self._set.collection(old["ns"]).delete_one({"_id": {"$eq": old["id"]}}, session=self._session)
        self._own.records.delete_one({"_id": old["_id"]}, session=self._session)
        gone = {"_id": old["_id"], "ns": old["ns"], "key": old["key"], "changed": self._next(gallery)}
        self._own.removals.replace_one({"_id": old["_id"]}, gone, upsert=True, session=self._session)
        self._removed_in.add(old["ns"])

    def _uncount(self, gallery: Document, old: Document, image: bytes | None) -> None:
        self.digest = self.digest.minus(bytes(old["hash"]))
        self._count(gallery, -1, old)
        if old["image"] is not None and old["image"] != image:
            self._loosened.add(bytes(old["image"]))

    @staticmethod
    def _count(gallery: Document, sign: int, row: Document) -> None:
        gallery["records"] += sign
        gallery["image_bytes"] += sign * (row["size"] if row["refused"] is None else 0)
        gallery["refused"] += sign * (row["refused"] is not None)
        gallery["vectors"] += sign * (row["vector_of"] is not None)

    def _vector_of(self, digest: bytes | None) -> str | None:
        row = self._newest(digest, {"vector": {"$ne": None}}) if digest is not None else None
        return row["model"] if row else None

    def _newest(self, digest: bytes | None, more: Document) -> Document | None:
        rows = self._own.vectors.find({"image": digest, **more}, session=self._session).sort("number", -1).limit(1)
        return next(iter(rows), None)

    def _let_go(self, digest: bytes) -> None:
        if self._one("records", {"image": digest}) is not None:
            return
        self._own.vectors.delete_many({"image": digest}, session=self._session)
        row = self._one("images", {"_id": digest})
        self._own.images.delete_one({"_id": digest}, session=self._session)
        if row is not None and row["refused"] is None:
            self._own.unlink.replace_one({"_id": digest}, {"_id": digest}, upsert=True, session=self._session)
            self.removes_images = True

    def _bound_removals(self, ns: str) -> None:
        most = self._set.bounds.removals
        rows = list(
            self._own.removals.find({"ns": ns}, session=self._session).sort("changed", -1).skip(most).limit(1)
        )
        if rows:
            gallery, last = self._made(ns), rows[0]["changed"]
            gallery["floor"] = max(gallery["floor"], last)
            wanted = {"ns": ns, "changed": {"$lte": last}}
            self._own.removals.delete_many(wanted, session=self._session)

    def _gallery(self, ns: str) -> Document | None:
        if ns not in self._galleries:
            row = self._one("galleries", {"_id": ns})
            if row is None:
                return None
            self._galleries[ns] = row
        return self._galleries[ns]

    def _made(self, ns: str) -> Document:
        gallery = self._gallery(ns)
        if gallery is None:
            gallery = {"_id": ns, "stream": self._set.stream, "change": 0, "floor": 0, **_EMPTY}
            self._galleries[ns] = gallery
        gallery["live"] = True
        return gallery

    @staticmethod
    def _next(gallery: Document) -> int:
        gallery["change"] += 1
        return int(gallery["change"])

    def _one(self, name: str, wanted: Document) -> Document | None:
        found: Document | None = self._own[name].find_one(wanted, session=self._session)
        return found


def record_id(ns: str, key: bytes) -> str:
    """Name a record: in the order of namespaces and keys."""
    return f"{ns}\n{key.hex()}"


def document_of(collection: Any, row: Document, session: Any) -> Document:
    """Read a record's document; its image field holds a `Held`."""
    found: Document = collection.find_one({"_id": {"$eq": row["id"]}}, session=session)
    if row["image"] is not None:
        return {**found, IMAGE_FIELD: Held(bytes(row["image"]), row["size"])}
    text = found.get(IMAGE_FIELD)
    return {**found, IMAGE_FIELD: codec.held_text(text)} if isinstance(text, str) else found


def _plain(document: Document) -> Document:
    held = document.get(IMAGE_FIELD)
    return {**document, IMAGE_FIELD: held.text} if isinstance(held, Held) and held.text is not None else document
