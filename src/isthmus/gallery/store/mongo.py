"""The gallery store over MongoDB: set 2 where other software reads the galleries from there.

Documents lie in the collections that their namespaces name, the image field as base64, as in any deployment; of
an image that is refused the field is null. What Isthmus knows besides (positions, hashes, changes, vectors,
quarantine) lies in a database of its own, images as files beside it, as with the embedded store.

An application is one MongoDB transaction, so the server has to be a member of a replica set (of one, if need be),
and its limit for how long a transaction lasts (`transactionLifetimeLimitSeconds`) bounds how large a snapshot is.
MongoDB takes equal numbers of different types (1, 1.0) for one `_id`; the digest then differs from the sender's
and nothing is committed. Proven against mongomock, which has no transactions, and not against a server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from isthmus.core.digest import Digest
from isthmus.core.errors import InputError, SourceError
from isthmus.core.position import Position
from isthmus.gallery.oplog.entry import CODEC
from isthmus.gallery.ports import StoredImage
from isthmus.gallery.record import Document, GalleryStat, Held, Record, Removed
from isthmus.gallery.store.bounds import Bounds
from isthmus.gallery.store.files import ImageFiles
from isthmus.gallery.store.intake import Check, Intake
from isthmus.gallery.store.mongochange import MongoChange, document_of, record_id
from isthmus.gallery.store.sqlite import Step, image_check, unseen


class MongoSet:
    """A set of galleries that follows one stream; implements `gallery.ports.Set`.

    `client` is a pymongo client, `own` the database for what Isthmus knows besides. Without `transactions` a
    killed process leaves a set that only a snapshot puts right: for tests alone, as is another `codec`.
    """

    def __init__(
        self,
        client: Any,
        images: Path,
        stream: str,
        *,
        check: bool | Check,
        packed: bool = False,
        own: str = "isthmus",
        transactions: bool = True,
        codec: Any = CODEC,
        bounds: Bounds | None = None,
        step: Step = unseen,
    ) -> None:
        self.client, self.stream, self.bounds, self.step = client, stream, bounds or Bounds(), step
        self._codec = codec
        self.own = client.get_database(own, codec_options=codec)
        self.files = ImageFiles(images, packed=packed)
        self.intake = Intake(image_check() if check is True else check or None)
        self._transactions = transactions
        self.own.records.create_index([("ns", 1), ("changed", 1)])
        self.own.records.create_index([("image", 1)])
        self.own.removals.create_index([("ns", 1), ("changed", 1)])
        self.own.vectors.create_index([("image", 1), ("number", 1)])

    @contextlib.contextmanager
    def changing(self) -> Iterator[MongoChange]:
        """Open a transaction; at its end everything is committed, on an error nothing is.

        Raises InputError where the server has no transactions, SourceError where it cannot be reached.
        """
        from pymongo import errors

        try:
            with self._session() as session:
                change = MongoChange(self, session)
                yield change
                change.flush()
                self.files.settle()
                self.step("placed")
                self.files.sync()
                self.step("synced")
            self.step("committed")
        except errors.OperationFailure as error:
            hint = "run MongoDB as a replica set" if error.code == 20 else "look at the server's log"
            raise InputError(f"MongoDB refuses the transaction: {error}", hint) from error
        except errors.PyMongoError as error:
            raise SourceError(f"MongoDB cannot be reached: {error}", "try again later") from error
        finally:
            self.files.forget_placed()
            self.intake.clear()
        if change.removes_images:
            self.remove_unused()
        self.step("removed")

    def collection(self, ns: str) -> Any:
        """Return the collection that a namespace names."""
        database, _, name = ns.partition(".")
        return self.client.get_database(database, codec_options=self._codec)[name]

    def position(self) -> Position | None:
        """Return where the set stands; None before the first bundle."""
        row = self.own.sets.find_one({"_id": self.stream})
        if row is None or not row["epoch"]:
            return None
        return Position(row["epoch"], row["seq"], Digest(bytes(row["digest"])))

    def seen(self, epoch: int, seq: int) -> str | None:
        """Return the digest, as text, that the set had at (epoch, seq); None where it does not know."""
        row = self.own.seen.find_one({"stream": self.stream, "epoch": epoch, "seq": seq})
        return row["digest"] if row else None

    def galleries(self) -> list[GalleryStat]:
        """Tell what each gallery holds, sorted by name."""
        names = ("_id", "records", "image_bytes", "refused", "vectors", "change")
        rows = self.own.galleries.find({"stream": self.stream, "live": True}).sort("_id", 1)
        return [GalleryStat(*(row[name] for name in names)) for row in rows]

    def records(self, gallery: str, after: bytes = b"") -> Iterator[Record]:
        """Stream the live records of a gallery behind a key, by key."""
        wanted = {"ns": gallery, **({"_id": {"$gt": record_id(gallery, after)}} if after else {})}
        for row in self.own.records.find(wanted).sort("_id", 1):
            yield _record(row)

    def refused(self, most: int) -> list[tuple[str, bytes, str]]:
        """Tell gallery, key and reason of records whose image was refused, sorted."""
        names = [stat.gallery for stat in self.galleries() if stat.refused]
        wanted = {"ns": {"$in": names}, "refused": {"$ne": None}}
        rows = self.own.records.find(wanted).sort("_id", 1).limit(most) if names and most > 0 else ()
        return [(row["ns"], row["key"], row["refused"]) for row in rows]

    def change(self, gallery: str) -> int:
        """Return the number of the gallery's latest change; 0 where there never was one."""
        row = self.own.galleries.find_one({"_id": gallery})
        return row["change"] if row else 0

    def changes(self, gallery: str, after: int) -> Iterator[Record | Removed] | None:
        """Stream what changed after a change, each key once, by change; None where removals are forgotten."""
        row = self.own.galleries.find_one({"_id": gallery})
        if row is None or not row["floor"] <= after <= row["change"]:
            return None
        wanted = {"ns": gallery, "changed": {"$gt": after}}
        told: list[Record | Removed] = [_record(row) for row in self.own.records.find(wanted)]
        told += [Removed(gallery, row["key"], row["changed"]) for row in self.own.removals.find(wanted)]
        return iter(sorted(told, key=lambda item: item.changed))

    def document(self, gallery: str, key: bytes) -> Document | None:
        """Return a record's document; its image field holds a `Held`."""
        row = self.own.records.find_one({"_id": record_id(gallery, key)})
        return None if row is None else document_of(self.collection(gallery), row, None)

    def image(self, digest: bytes) -> StoredImage | None:
        """Return an image where it lies; None where it is not held."""
        row = self.own.images.find_one({"_id": digest, "refused": None})
        return None if row is None else self.files.image(digest)

    def vector(self, digest: bytes, model: str) -> bytes | None:
        """Return the vector that `model` made of an image, as it was stored."""
        row = self.own.vectors.find_one({"image": digest, "model": model})
        return row["vector"] if row else None

    def put_vectors(self, model: str, vectors: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Store vectors by image digest; None: the model found nothing. Counts as a change of its records."""
        with self.changing() as change:
            for digest, vector in vectors:
                change.put_vector(model, digest, vector)

    def without_vector(self, model: str, most: int) -> list[bytes]:
        """List digests of usable images that `model` has not seen yet."""
        found: list[bytes] = []
        for row in self.own.images.find({"refused": None}).sort("_id", 1):
            digest = row["_id"]
            if self.own.vectors.find_one({"image": digest, "model": model}) is None and self.own.records.find_one(
                {"image": digest, "refused": None}
            ):
                found.append(bytes(digest))
                if len(found) == most:
                    break
        return found

    def quarantined(self, after: int = 0, most: int = 100) -> list[Document]:
        """Return what could not be applied, oldest first: number, at, ns, reason, entry (BSON without images)."""
        rows = self.own.quarantine.find({"stream": self.stream}).sort("_id", 1).skip(after).limit(most)
        return [
            {
                "number": number,
                "at": row["at"].isoformat(),
                "ns": row["ns"],
                "reason": row["reason"],
                "entry": row["entry"],
            }
            for number, row in enumerate(rows, after + 1)
        ]

    def remove_unused(self) -> int:
        """Remove the files of images that nothing uses. Returns how many."""
        digests = [bytes(row["_id"]) for row in self.own.unlink.find()]
        self.files.remove(digests)
        self.step("unlinked")
        self.own.unlink.delete_many({"_id": {"$in": digests}})
        return len(digests)

    def tidy(self) -> int:
        """Finish what a killed process left: remove unused and unknown image files, and empty collections."""
        for row in self.own.galleries.find({"stream": self.stream, "live": False}):
            self.collection(row["_id"]).drop()
        return self.remove_unused() + self.files.sweep(lambda digest: self.image(digest) is not None)

    def close(self) -> None:
        """End the threads; the client stays open."""
        self.intake.close()
        self.files.close()

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        if not self._transactions:
            yield None
            return
        with self.client.start_session() as session, session.start_transaction():
            yield session


def _record(row: Document) -> Record:
    image = None if row["image"] is None else Held(row["image"], row["size"])
    return Record(row["ns"], row["key"], image, row["refused"], row["changed"], row["vector_of"])
