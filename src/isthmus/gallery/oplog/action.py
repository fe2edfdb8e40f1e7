"""What entries do to collections, as values: each was read from an operation and waits to be done.

An action returns whether it changed anything, and raises Unusable where the content that it meets does not allow
it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Protocol

from isthmus.gallery.oplog.difference import DocumentDifference, apply_difference
from isthmus.gallery.oplog.modifiers import Step, apply_modifiers
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.oplog.unusable import Unusable
from isthmus.gallery.ports import Documents
from isthmus.gallery.record import Document


class Action(Protocol):
    """Something to be done to the collections."""

    @property
    def ns(self) -> str:
        """The namespace, under the name that it has here."""
        ...

    def do(self, documents: Documents) -> bool:
        """Do it; False where nothing was to be done. Raises Unusable, ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing: an index, a note of the server, a namespace that is left out."""

    ns: str = ""

    def do(self, documents: Documents) -> bool:
        """Do nothing."""
        return False


SKIP = Skip()


@dataclass(frozen=True, slots=True)
class Put:
    """Add a document or replace the one with its `_id`: an insert over an older document is a replacement."""

    ns: str
    document: Document

    def do(self, documents: Documents) -> bool:
        """Put it."""
        documents.put(self.ns, self.document)
        return True


@dataclass(frozen=True, slots=True)
class Change:
    """Change a document by a difference or by paths; `upsert` makes it where it is missing."""

    ns: str
    key: Any
    how: DocumentDifference | tuple[Step, ...]
    upsert: bool = False

    def do(self, documents: Documents) -> bool:
        """Change it."""
        document = documents.get(self.ns, self.key)
        if document is None:
            if not self.upsert:
                raise Unusable(f"the document {str(self.key)[:80]!r} that it changes is not there", self.ns)
            document = {"_id": copy.deepcopy(self.key)}
        if isinstance(self.how, DocumentDifference):
            apply_difference(self.how, document)
        else:
            apply_modifiers(self.how, document)
        documents.put(self.ns, document)
        return True


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a document; one that is not there was removed before."""

    ns: str
    key: Any

    def do(self, documents: Documents) -> bool:
        """Remove it."""
        return documents.delete(self.ns, self.key)


@dataclass(frozen=True, slots=True)
class Create:
    """Make an empty collection."""

    ns: str

    def do(self, documents: Documents) -> bool:
        """Make it."""
        documents.create(self.ns)
        return True


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove a collection with its documents."""

    ns: str

    def do(self, documents: Documents) -> bool:
        """Remove it."""
        documents.drop(self.ns)
        return True


@dataclass(frozen=True, slots=True)
class Empty:
    """Remove a collection's documents and keep the collection."""

    ns: str

    def do(self, documents: Documents) -> bool:
        """Remove them."""
        documents.drop(self.ns)
        documents.create(self.ns)
        return True


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a collection another name; what was there goes."""

    ns: str
    to: str

    def do(self, documents: Documents) -> bool:
        """Rename it. Where it is not there, it was renamed before: nothing happens."""
        if self.ns == self.to or self.ns not in documents.namespaces():
            return False
        documents.rename(self.ns, self.to)
        return True


@dataclass(frozen=True, slots=True)
class DropDatabase:
    """Remove all collections that came from a foreign database."""

    database: str
    namespaces: Namespaces

    @property
    def ns(self) -> str:
        """The database."""
        return self.database

    def do(self, documents: Documents) -> bool:
        """Remove them."""
        if self.namespaces.plain:
            documents.drop_database(self.database)
            return True
        for ns in self.namespaces.of_database(self.database, documents.namespaces()):
            documents.drop(ns)
        return True
