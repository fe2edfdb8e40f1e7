"""Reads what an operation of an entry does, before anything is done.

Reading and doing are apart on purpose. What reading refuses can be applied to no content whatever (no key, an
unknown operator, a broken difference): whoever reads the entry, whenever, comes to the same judgement. What
doing refuses depends on the content that it meets (the document is not there)."""

from __future__ import annotations

from typing import Any

from isthmus.gallery.oplog.action import (
    SKIP,
    Action,
    Change,
    Create,
    Delete,
    Drop,
    DropDatabase,
    Empty,
    Put,
    Rename,
)
from isthmus.gallery.oplog.difference import read_difference
from isthmus.gallery.oplog.entry import key_bytes
from isthmus.gallery.oplog.modifiers import read_modifiers
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.oplog.renames import Renames
from isthmus.gallery.oplog.unusable import Unusable
from isthmus.gallery.record import Document

MOST_NESTED = 10
"""MongoDB's bound on applyOps within applyOps."""

_OF_INDEXES = (
    "createIndexes", "createIndex", "dropIndexes", "dropIndex", "deleteIndexes", "deleteIndex", "startIndexBuild",
    "commitIndexBuild", "abortIndexBuild", "collMod", "dbCheck", "shardCollection", "refineCollectionShardKey",
    "createGlobalIndex", "dropGlobalIndex", "createDatabaseMetadata", "dropDatabaseMetadata",
    "modifyCollectionShardingIndexCatalog",
)  # fmt: skip
"""Commands that change how documents are found or described, but no document."""

_ONLY_THE_SERVER_KNOWS = ("convertToCapped", "cloneCollectionAsCapped", "importCollection", "truncateRange")
"""Commands whose result depends on more than the oplog tells."""

_WITHOUT_EFFECT = ("n", "db", "xi", "xd", "km")
"""Notes, old declarations of databases, entries of global indexes, key material."""


class Reader:
    """Reads operations under the rules of namespaces."""

    def __init__(self, namespaces: Namespaces, renames: Renames) -> None:
        self._namespaces = namespaces
        self._renames = renames

    def read(self, fields: Document, ts: Any, *, upsert: bool = False, nested: int = 0) -> list[Action]:
        """Read an entry, or an operation inside of one, into what is to be done, in order.

        `ts` is that of the entry. Raises Unusable where it can never be applied.
        """
        op = fields.get("op")
        if op == "i":
            return [self._insert(fields, ts)]
        if op == "u":
            return [self._update(fields, ts, upsert=upsert)]
        if op == "d":
            return [self._delete(fields, ts)]
        if op == "c":
            return self._command(fields, ts, nested)
        if op in _WITHOUT_EFFECT:
            return [SKIP]
        raise Unusable(f"an operation of kind {str(op)[:20]!r} is not known here")

    def _place(self, ns: object, ui: object, ts: Any) -> str | None:
        """Return the name here of a foreign collection; None where it is left out or gone."""
        if not isinstance(ns, str) or not all(ns.partition(".")) or "\0" in ns:
            raise Unusable(f"{str(ns)[:120]!r} is no namespace")
        if ".$" in ns:
            raise Unusable(f"{ns[:120]!r} holds no documents")
        now = self._renames.place(ns, ui, ts)
        return None if now is None else self._namespaces.of(now)

    def _insert(self, fields: Document, ts: Any) -> Action:
        ns = self._place(fields.get("ns"), fields.get("ui"), ts)
        if ns is None:
            return SKIP
        document = _document(fields, "o", ns)
        _key(document, "o", ns)
        return Put(ns, document)

    def _delete(self, fields: Document, ts: Any) -> Action:
        ns = self._place(fields.get("ns"), fields.get("ui"), ts)
        if ns is None:
            return SKIP
        return Delete(ns, _key(_document(fields, "o", ns), "o", ns))

    def _update(self, fields: Document, ts: Any, *, upsert: bool) -> Action:
        ns = self._place(fields.get("ns"), fields.get("ui"), ts)
        if ns is None:
            return SKIP
        update = _document(fields, "o", ns)
        key = _key(_document(fields, "o2", ns), "o2", ns)
        upsert = upsert or fields.get("b") is True
        try:
            if update.get("$v") == 2:
                return self._difference(ns, key, update, upsert=upsert)
            if next(iter(update), "").startswith("$"):
                steps = read_modifiers(update)
                steps = tuple(step for step in steps if not _of_key(step.path, step.value, key, ns))
                return Change(ns, key, steps, upsert)
        except Unusable as error:
            raise Unusable(error.reason, ns) from error
        if "_id" not in update:
            update = {"_id": key, **update}
        elif key_bytes(update["_id"]) != key_bytes(key):
            raise Unusable("its document has another _id than the one that it replaces", ns)
        return Put(ns, update)

    @staticmethod
    def _difference(ns: str, key: Any, update: Document, *, upsert: bool) -> Action:
        difference = read_difference(update.get("diff"))
        changed = difference.updated | difference.inserted  # type: ignore[operator]
        named = {*difference.deleted, *(name for name, *_ in (*difference.inner, *difference.spliced))}
        if "_id" in named or ("_id" in changed and key_bytes(changed["_id"]) != key_bytes(key)):
            raise Unusable("it would change the _id")
        return Change(ns, key, difference, upsert)

    def _command(self, fields: Document, ts: Any, nested: int) -> list[Action]:
        command = _document(fields, "o", "")
        name = next(iter(command), "")
        if name == "applyOps":
            return self._apply_ops(command, ts, nested)
        if name in _OF_INDEXES:
            return [SKIP]
        ns = fields.get("ns")
        database = ns.partition(".")[0] if isinstance(ns, str) else ""
        if not database:
            raise Unusable(f"{str(ns)[:120]!r} is no namespace")
        ui = fields.get("ui")
        if name == "renameCollection":
            return [self._rename(command, ui, ts)]
        if name == "dropDatabase":
            return [DropDatabase(database, self._namespaces)]
        if name in ("create", "drop", "emptycapped", *_ONLY_THE_SERVER_KNOWS):
            return [self._of_collection(name, command, database, ui, ts)]
        raise Unusable(f"the command {name[:60]!r} is not known here")

    def _of_collection(self, name: str, command: Document, database: str, ui: Any, ts: Any) -> Action:
        collection = command[name]
        if not isinstance(collection, str):
            raise Unusable(f"its command {name} names no collection")
        ns = self._place(f"{database}.{collection}", ui, ts)
        if ns is None or (name == "create" and "viewOn" in command):  # a view holds no documents of its own
            return SKIP
        if name == "create":
            return Create(ns)
        if name == "drop":
            return Drop(ns)
        if name == "emptycapped":
            return Empty(ns)
        raise Unusable(f"only its server knows which documents {name} leaves", ns)

    def _rename(self, command: Document, ui: Any, ts: Any) -> Action:
        old, new = command["renameCollection"], command.get("to")
        source, target = self._taken(old), self._taken(new)
        if self._renames.done(ui, ts):
            return SKIP
        self._renames.note(ui, ts, str(new))
        if source is not None and target is not None:
            return Rename(source, target)
        if source is not None:
            return Drop(source)  # it goes to where nothing is taken from
        if target is None:
            return SKIP
        raise Unusable(f"it comes from {old}, which is left out, so that its documents are not known here", target)

    def _taken(self, ns: object) -> str | None:
        return self._place(ns, None, None)

    def _apply_ops(self, command: Document, ts: Any, nested: int) -> list[Action]:
        operations = command["applyOps"]
        if nested >= MOST_NESTED:
            raise Unusable(f"its applyOps are nested deeper than {MOST_NESTED}")
        if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
            raise Unusable("its applyOps is no list of operations")
        upsert = command.get("alwaysUpsert") is True
        return [action for one in operations for action in self.read(one, ts, upsert=upsert, nested=nested + 1)]


def _document(fields: Document, name: str, ns: str) -> Document:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise Unusable(f"its {name} is no document", ns)
    return value


def _key(document: Document, name: str, ns: str) -> Any:
    try:
        return document["_id"]
    except KeyError:
        raise Unusable(f"its {name} has no _id", ns) from None


def _of_key(path: tuple[str, ...], value: Any, key: Any, ns: str) -> bool:
    """Tell whether a step only says again what the `_id` is."""
    if path[0] != "_id":
        return False
    if len(path) > 1 or key_bytes(value) != key_bytes(key):
        raise Unusable("it would change the _id", ns)
    return True
