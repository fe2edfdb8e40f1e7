"""What the gallery asks of its stores and extractors. Each docstring is the contract of the port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from isthmus.gallery.record import Document, GalleryStat, Record, Removed


class Documents(Protocol):
    """Collections of BSON documents, as the oplog engine changes them.

    All changes between the beginning and the end of an application belong to one transaction of the store. A
    namespace is `<database>.<collection>`; one that holds nothing need not exist. Documents that are handed out
    may be changed by the caller; those handed in are not kept. The image field holds a `Held` when read, and takes
    a `Held` or the text that an entry brought.
    """

    def get(self, ns: str, key: Any) -> Document | None:
        """Return the document whose `_id` is `key`; None where there is none."""
        ...

    def put(self, ns: str, document: Document) -> None:
        """Add or replace the document with this `_id`. Raises ValueError where it has none."""
        ...

    def delete(self, ns: str, key: Any) -> bool:
        """Remove the document; False where there was none."""
        ...

    def create(self, ns: str) -> None:
        """Make an empty collection; nothing happens where it is there."""
        ...

    def drop(self, ns: str) -> None:
        """Remove a collection with all its documents."""
        ...

    def drop_database(self, database: str) -> None:
        """Remove all collections of a database."""
        ...

    def rename(self, ns: str, to: str) -> None:
        """Give a collection another name; what was there under that name is gone."""
        ...

    def namespaces(self) -> list[str]:
        """List the collections, sorted."""
        ...


class Waiting(Protocol):
    """Keeps the operations of transactions that are not decided yet, in the store's own transaction."""

    def add(self, transaction: str, entry: bytes) -> None:
        """Keep one more entry (its BSON) of an undecided transaction."""
        ...

    def entries(self, transaction: str) -> list[bytes]:
        """Return what was kept, in the order in which it was added."""
        ...

    def forget(self, transaction: str) -> None:
        """Drop what was kept."""
        ...

    def held(self) -> list[tuple[str, int, bytes]]:
        """Tell of each transaction its name, how many bytes it holds, and its first entry; sorted by name."""
        ...


class StoredImage(Protocol):
    """An image that a set holds, wherever it lies; its text says where. Ask the set anew rather than keep it."""

    def read(self, offset: int = 0, most: int = -1) -> bytes:
        """Read a stretch, up to the end where `most` is negative. Raises FileNotFoundError where it is gone."""
        ...

    def proven(self) -> bool:
        """Read it all and tell whether it is what its digest says. May be called in any thread. Raises OSError."""
        ...

    def is_of(self, content: bytes) -> bool:
        """Tell whether it has this content."""
        ...

    def there(self) -> bool:
        """Tell whether there is something, whole or not."""
        ...

    def mark(self) -> object:
        """Return what changes when what lies there does: to notice that a damage was mended."""
        ...


class Set(Protocol):
    """A set of galleries as its readers see it: the sync server, devices' sessions, vector making."""

    def galleries(self) -> list[GalleryStat]:
        """Tell what each gallery holds, sorted by name."""
        ...

    def records(self, gallery: str, after: bytes = b"") -> Iterator[Record]:
        """Stream the live records of a gallery behind a key, by key."""
        ...

    def change(self, gallery: str) -> int:
        """Return the number of the gallery's latest change; 0 where there never was one."""
        ...

    def changes(self, gallery: str, after: int) -> Iterator[Record | Removed] | None:
        """Stream what changed after a change, each key once, by change; None where removals were forgotten."""
        ...

    def document(self, gallery: str, key: bytes) -> Document | None:
        """Return a record's document; its image field holds a `Held`."""
        ...

    def image(self, digest: bytes) -> StoredImage | None:
        """Return an image where it lies; None where it is not held."""
        ...

    def vector(self, digest: bytes, model: str) -> bytes | None:
        """Return the vector that `model` made of an image, as it was stored."""
        ...

    def put_vectors(self, model: str, vectors: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Store vectors by image digest, None where nothing was found: a change of the records with that image."""
        ...

    def without_vector(self, model: str, most: int) -> list[bytes]:
        """List digests of usable images that `model` has not seen yet."""
        ...
