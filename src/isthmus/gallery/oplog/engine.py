"""Applies oplog entries to collections of documents.

What is one whole. An entry is one operation, or an `applyOps` with several, or decides a transaction of several
entries. All operations of such a whole are read before the first is done. If one of them can be applied to no
content whatever, the whole is refused and nothing of it is done, as MongoDB would never have committed it. If
one of them only does not find its document, it alone is refused and the others are done: the whole did happen at
its origin, and holding back the rest would leave more wrong than it saves. What is refused is told with its
reason and its bytes, and nothing ever stops the stream. Both ends of a stream run this same code on the same
content, and so stand alike afterwards; nothing here depends on time, chance or the machine.

Again. Applying entries again, from any entry on to the last, leads to the same content:
- an insert over a document replaces it; a delete of nothing is nothing; a replacement carries the whole document
  and puts it where there is none;
- a change of a document that is missing is refused by itself: the entry that removed it comes later, again;
- a difference (`$v: 2`) on a newer document does what MongoDB does (`difference`), and later entries set it
  right;
- a transaction of which only the end comes again is refused as a whole; its effects are there from the first
  time, and whatever changed since is set by the entries after it;
- entries of a collection that was renamed since find it by its UUID (`renames`).

What can still differ then: the order of fields within a document after path updates (`$v: 1`), as in MongoDB; and
content around the rename of a collection whose entries carry no UUID (before MongoDB 3.6), or that lies more than
`renames.MOST_KEPT` renames back. None of this arises where entries come by a chain of positions: a target commits
content and position in one transaction and takes each entry exactly once. Applying again is for files by hand.

What the oplog does not tell cannot be followed: documents that a capped collection lets go by itself. Commands
that drop documents by the server's own choice are refused."""

from __future__ import annotations

from dataclasses import dataclass

from bson.errors import BSONError

from isthmus.core.errors import InputError
from isthmus.gallery.oplog.action import Action
from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.oplog.operation import Reader
from isthmus.gallery.oplog.renames import Renames
from isthmus.gallery.oplog.transaction import gather
from isthmus.gallery.oplog.undecided import Undecided
from isthmus.gallery.oplog.unusable import Unusable
from isthmus.gallery.ports import Documents, Waiting

_KINDS = {"i": "insert", "u": "update", "d": "delete", "c": "command", "n": "note"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operation that was set aside: why, in one line, of which namespace, and its entry's BSON as it came."""

    reason: str
    ns: str
    entry: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an entry did: operations done, operations without effect here, and what was set aside.

    An entry that waits for its transaction to be decided has done nothing yet.
    """

    applied: int = 0
    skipped: int = 0
    refused: tuple[Refusal, ...] = ()


_APPLIED = Outcome(applied=1)
_SKIPPED = Outcome(skipped=1)
_WAITS = Outcome()


class Engine:
    """Applies entries within one transaction of the store; make a new one for each, and after a rollback."""

    def __init__(self, documents: Documents, waiting: Waiting, namespaces: Namespaces) -> None:
        self._documents = documents
        self._undecided = Undecided(waiting)
        self._reader = Reader(namespaces, Renames(self._undecided))

    def apply(self, entry: RawEntry) -> Outcome:
        """Apply an entry. Never raises because of what it says; raises what the store raises (OSError, Busy).

        What waited too long for its decision is refused along with it.
        """
        late = self._undecided.refused(entry)
        outcome = self._apply(entry)
        if not late:
            return outcome
        refused = (refusal for one in late for refusal in _refused(one.entries, one.reason, "").refused)
        return Outcome(outcome.applied, outcome.skipped, (*refused, *outcome.refused))

    def _apply(self, entry: RawEntry) -> Outcome:
        whole: tuple[RawEntry, ...] = (entry,)
        if entry.flaw:
            return _refused(whole, entry.flaw, "")
        try:
            if entry.op == "c":
                gathered = gather(entry, self._undecided)
                whole = gathered.entries
                if not whole:
                    return _WAITS
                if gathered.reason:
                    return _refused(whole, gathered.reason, "")
            read = self._reader.read
            actions = [(action, part) for part in whole for action in read(part.fields, entry.ts)]
        except Unusable as error:
            return _refused(whole, error.reason, error.ns)
        return self._done(actions)

    def _done(self, actions: list[tuple[Action, RawEntry]]) -> Outcome:
        applied = 0
        refused: list[Refusal] = []
        for action, part in actions:
            try:
                applied += action.do(self._documents)
            except Unusable as error:
                refused.append(Refusal(_said(part, error.reason), action.ns, part.raw))
            except (ValueError, BSONError, InputError) as error:  # the store takes no such document
                refused.append(Refusal(_said(part, " ".join(str(error).split())), action.ns, part.raw))
        if len(actions) == 1 and not refused:
            return _APPLIED if applied else _SKIPPED
        return Outcome(applied, len(actions) - applied - len(refused), tuple(refused))


def _refused(whole: tuple[RawEntry, ...], reason: str, ns: str) -> Outcome:
    if len(whole) > 1:
        reason = f"{reason} (the transaction is refused as a whole)"
    return Outcome(
        refused=tuple(Refusal(_said(part, reason), ns or _named(part), part.raw) for part in whole),
    )


def _named(part: RawEntry) -> str:
    return part.ns if isinstance(part.ns, str) else ""


def _said(part: RawEntry, reason: str) -> str:
    return f"{_KINDS.get(part.op, 'operation') if isinstance(part.op, str) else 'operation'}: {reason}"
