"""Applies the bundles of a stream to a set: all of a bundle and its position, or nothing of it.

1. An increment's entries go through the oplog engine, one after the other. An operation that cannot be applied is
   set aside with its reason; so it was at the sender, and the digests agree.
2. A snapshot is, in this order: commands that make empty collections; an insert of each live document, ordered by
   namespace and key; as no-ops, what the engine keeps for later entries (`gallery.ports.Waiting`). Records that
   it does not hold are removed, equal ones are left alone, so that devices hear of true differences only.
3. Afterwards the digest of the set must be the one that the header tells; otherwise nothing is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from isthmus.core.errors import Corrupt, Diverged, InputError, Refused
from isthmus.core.header import Header, Kind
from isthmus.core.ports import Applied, Clock, Delivery
from isthmus.core.position import Position
from isthmus.gallery.oplog.engine import Engine
from isthmus.gallery.oplog.entry import RawEntry, key_bytes
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.oplog.read import entries
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.mongo import MongoSet
from isthmus.gallery.store.mongochange import MongoChange
from isthmus.gallery.store.sqlite import SqliteSet

MEMBER = "entries.bson"
WAITING = "isthmus: waiting"
EVERYTHING = Namespaces(allow=("*", "*.system.*", "admin.*", "config.*", "local.*"))
"""Takes each namespace under its own name: what a stream holds was chosen where it was made."""


Note = Callable[[Change | MongoChange, Header, Applied], None]
"""Writes down, in the open transaction where it can, what is about to be committed."""


class _Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


class SetTarget:
    """The target (`core.ports.Target`) of the stream that `held` follows.

    Rules that leave out or rename namespaces make a set that cannot be compared with the sender's: then the header
    is believed where it tells the digest, and a snapshot is refused.
    """

    def __init__(
        self,
        held: SqliteSet | MongoSet,
        namespaces: Namespaces = EVERYTHING,
        clock: Clock | None = None,
        note: Note | None = None,
    ) -> None:
        """Apply to `held`; `note` is told of each application before it is committed."""
        self._set, self._namespaces, self._clock, self._note = held, namespaces, clock or _Now(), note

    def position(self, stream: str) -> Position | None:
        """Return where the target stands; None before the first bundle."""
        self._mine(stream)
        return self._set.position()

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        """Return the digest, as text, that the target had at (epoch, seq); None where it does not know."""
        self._mine(stream)
        return self._set.seen(epoch, seq)

    def apply(self, bundle: Delivery) -> Applied:
        """Apply a bundle that was judged NEXT or SNAPSHOT; afterwards the position is `header.until`.

        Raises Diverged, and commits nothing, where the content then has another digest than the header tells;
        Corrupt where the entries are none, Refused where an increment has other digests' key, OSError.
        """
        header = bundle.header
        self._mine(header.stream)
        if header.kind is Kind.HEARTBEAT:
            raise InputError("a heartbeat carries nothing to apply", "apply increments and snapshots")
        with self._set.changing() as change:
            work = _Application(change, Engine(change, change, self._namespaces), self._clock.now())
            raw = self._set.intake.ahead(entries(bundle.read(MEMBER)))
            if header.kind is Kind.SNAPSHOT:
                if self._namespaces != EVERYTHING:
                    raise Refused("a snapshot cannot be applied by halves", "follow the stream without rules")
                change.begin_stream(header.key)
                work.snapshot(raw)
            else:
                if change.key not in (None, header.key):
                    raise Refused(f"{header.stream} has another key than before", "ask for a snapshot")
                change.begin_stream(header.key)
                for entry in raw:
                    work.entry(entry)
            self._prove(change, header)
            change.position = header.until
            change.note_position(self._set.bounds.positions)
            change.bound_quarantine(self._set.bounds.quarantined)
            applied = Applied(header.until, work.applied, work.refused)
            if self._note is not None:
                self._note(change, header, applied)
            self._set.step("applied")
        return applied

    def _prove(self, change: Change | MongoChange, header: Header) -> None:
        if self._namespaces == EVERYTHING and change.digest != header.until.digest:
            raise Diverged(
                f"after {header.until} of {header.stream} the set is another one than at the sender"
                f" ({str(change.digest)[:12]}): nothing was applied",
                "ask for a snapshot",
            )

    def _mine(self, stream: str) -> None:
        if stream != self._set.stream:
            raise InputError(f"this set follows {self._set.stream}, not {stream}", "look at the site's settings")


class _Application:
    """One bundle on its way into an open transaction."""

    def __init__(self, change: Change | MongoChange, engine: Engine, now: datetime) -> None:
        self._change, self._engine, self._now = change, engine, now
        self.applied = self.refused = 0

    def entry(self, entry: RawEntry) -> None:
        outcome = self._engine.apply(entry)
        self.applied += outcome.applied
        self.refused += len(outcome.refused)
        for refusal in outcome.refused:
            self._change.set_aside(refusal.ns, refusal.reason, refusal.entry, self._now)

    def snapshot(self, entries: Iterator[RawEntry]) -> None:
        change = self._change
        change.forget_all()
        present = set(change.namespaces())
        last: tuple[str, bytes] | None = None
        for entry in entries:
            if entry.op == "n":
                self._keep(entry)
                continue
            if entry.op == "c":
                present.discard(self._empty(entry))
                continue
            at = self._place(entry)
            if last is not None and at <= last:
                raise Corrupt("the snapshot is not in order", "ask for another one")
            if last is not None and last[0] != at[0]:
                change.delete_between(*last, None)
            between = last[1] if last is not None and last[0] == at[0] else None
            change.delete_between(at[0], between, at[1])
            present.discard(at[0])
            self.entry(entry)
            last = at
        if last is not None:
            change.delete_between(*last, None)
        for ns in sorted(present):
            change.drop(ns)

    def _keep(self, entry: RawEntry) -> None:
        match entry.o:
            case {"msg": str(msg), "transaction": str(transaction), "entry": bytes(raw)} if msg == WAITING:
                self._change.add(transaction, raw)
            case _:
                raise Corrupt("the snapshot has a no-op that is not known here", "ask for another one")

    def _empty(self, entry: RawEntry) -> str:
        match entry.ns, entry.o:
            case str(ns), {"create": str(collection)}:
                name = f"{ns.partition('.')[0]}.{collection}"
                self._change.delete_between(name, None, None)
                self._change.create(name)
                return name
        raise Corrupt("the snapshot has a command that is not known here", "ask for another one")

    @staticmethod
    def _place(entry: RawEntry) -> tuple[str, bytes]:
        match entry.op, entry.ns, entry.o:
            case "i", str(ns), {"_id": key}:
                return ns, key_bytes(key)
        raise Corrupt("the snapshot has an entry that is no insert of a document", "ask for another one")
