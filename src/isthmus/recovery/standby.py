"""Where the stream of recovery is applied: parts are staged, and a whole round is shown at one moment.

1. A part's pieces are staged and made durable; then they and the new position are written in one transaction.
2. The last part brings the change of barrier. Its digest must be the one that the primary told, and every content
   that it names must be here, whole and proven: staged, or held by any table already.
3. The files are laid: data first, manifests last. Nobody is shown any of it.
4. The fence is written: all tables go to the new barrier at once. Then the barrier and the position are committed.

A crash before 4 leaves the old barrier shown, and after it the new one; the round is then applied once more, which
changes nothing. What it takes for a later failover to be possible is always here: the shown barrier, whole.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from isthmus.core.digest import Digest, record_hash
from isthmus.core.errors import Corrupt, Diverged
from isthmus.core.header import Kind
from isthmus.core.ports import Applied, Clock, Delivery
from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Change
from isthmus.recovery.landed import Landed, Landings
from isthmus.recovery.laying import Laying
from isthmus.recovery.part import BEGIN, CHANGE, FILES, INDEX, Index
from isthmus.recovery.staged_contents import Contents
from isthmus.recovery.stock import Desync, Holding
from isthmus.state.store import Store
from isthmus.transfer.gate import Step, no_step
from isthmus.warehouse import fence as fences
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence, Shown

MOST_INDEX = 64 << 20
MOST_CHANGE = 1 << 30
MOST_CONTENT = 1 << 42
_SPARE = 64 << 20


class Landing:
    """A standby's side of one stream, as a `core.ports.Target`."""

    def __init__(
        self,
        store: Store,
        catalog_root: str,
        folder: Path,
        clock: Clock,
        site: str,
        stream: str = "recovery",
        desync: Desync = "none",
        grace_s: float = 3600.0,
        spare_bytes: int = _SPARE,
        step: Step = no_step,
    ) -> None:
        """`folder` takes contents on their way, on the file system of the warehouse. `grace_s`: so long readers of
        an earlier barrier keep its files."""
        self._store, self._root, self._clock, self.site = store, catalog_root, clock, site
        self._step, self._spare = step, spare_bytes
        catalog = Catalog(catalog_root)
        self._contents = Contents(store, folder / "contents", step)
        self._rows = Landings(store, stream)
        self._laying = Laying(catalog, folder / "aside", step)
        self.holding = Holding(store, catalog, self._rows, self._contents, self._laying, clock, desync, grace_s)
        """What this standby holds."""

    def position(self, stream: str) -> Position | None:
        """Return where the stream stands."""
        return self._rows.position()

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        """Return the digest that the stream had at (epoch, seq)."""
        return self._rows.seen(epoch, seq)

    def barrier(self) -> Barrier | None:
        """Return the barrier that is shown; None before the first."""
        return self._rows.barrier()

    def event(self) -> str:
        """Return what the last landed round was for beside the tables: empty, or `switchover`."""
        return self._rows.event()

    def rounds(self) -> list[Landed]:
        """List the restore rounds in the order in which they began."""
        return self._rows.rounds()

    def missing(self) -> list[bytes]:
        """Return the contents that a barrier names and nobody here has: they have to come again."""
        return self._rows.missing()

    def tidy(self) -> list[str]:
        """Do what is due beside the rounds; return what happened, in words."""
        return self.holding.tidy()

    def apply(self, bundle: Delivery) -> Applied:
        """Apply a part, or begin anew. Raises Diverged, Corrupt, Refused, OSError: then the position stays."""
        header = bundle.header
        if header.kind is Kind.SNAPSHOT:
            return self._begin(bundle)
        try:
            index = Index.of_bytes(_capped(bundle, INDEX, MOST_INDEX))
        except ValueError as error:
            raise Corrupt(f"part {header.until} has no index: {error}", "ask for a full round") from error
        self._check_digest(bundle, index)
        size = sum(piece.length for piece in index.pieces)
        self._contents.room(self._contents.judge(index.pieces, MOST_CONTENT), self._spare)
        self._contents.take(index.pieces, bundle.read(FILES) if size else iter(()))
        now = self._clock.now()
        with self._store.transaction() as connection:
            self._contents.note(connection, index.pieces)
            self._rows.receive(connection, index.key, size, now)
            if not index.last:
                self._rows.stand(connection, header.until)
        self._step("landing noted")
        if index.last:
            self._land(bundle, index)
        return Applied(header.until, len(index.pieces))

    def adopt(self, barrier: Barrier, position: Position) -> None:
        """Show a barrier whose files lie in their tables already, and stand at a position: what was a primary."""
        now = self._clock.now()
        with self._store.transaction() as connection:
            self._rows.drop(connection, now)
            self._rows.show(connection, self._rows.barrier(), barrier, "")
            self._rows.stand(connection, position)

    def _begin(self, bundle: Delivery) -> Applied:
        header, body = bundle.header, _capped(bundle, BEGIN, MOST_INDEX)
        if Digest().plus(record_hash(header.key, b"begin", body)) != header.until.digest:
            raise Diverged(f"the beginning at {header.until} has another digest than it tells")
        self._contents.keep_proven()
        with self._store.transaction() as connection:
            self._rows.drop(connection, self._clock.now())
            self._rows.stand(connection, header.until)
        self._step("landing begun")
        return Applied(header.until, 0)

    def _check_digest(self, bundle: Delivery, index: Index) -> None:
        header, standing = bundle.header, self._rows.position()
        base = standing.digest if standing is not None else Digest()
        if not index.last and index.added_to(base, header.key) != header.until.digest:
            raise Diverged(f"part {header.until} does not lead on from {standing}")

    def _land(self, bundle: Delivery, index: Index) -> None:
        header, old = bundle.header, self._rows.barrier()
        try:
            change = Change.of_json(json.loads(_capped(bundle, CHANGE, MOST_CHANGE)))
            new = change.applied(old)
        except (ValueError, RecursionError) as error:
            raise Diverged(
                f"round {index.key} cannot follow what is shown: {error}", "ask for a full round"
            ) from error
        if new.digest(header.key) != header.until.digest or change.key != index.key:
            raise Diverged(
                f"round {index.key} leads to another content than the primary has", "ask for a full round"
            )
        now = self._clock.now()
        self._rows.go("VERIFY", now, change.prior)
        self._laying.judge(old, new)
        self._verify(old, new)
        self._rows.go("PUBLISH", now)
        self._step("landing verified")
        fence = fences.read(self._root)
        names = {table.name for table in old.tables.values()} if old else set()
        hidden = tuple(sorted({table.name for table in new.tables.values()} - names))
        if set(hidden) - set(fence.hidden):
            fences.write(self._root, replace(fence, hidden=hidden))
            self._step("landing hidden")
        waiting = self._laying.lay(old, new, self.holding.source, self._rows.missing())
        self._laying.take_places(waiting)
        gone = self.holding.leaving(old, new)
        self._step("landing placed all")
        fences.write(self._root, self._fence(fence, header.until.epoch, header.site, new, gone.kept))
        self._step("landing shown")
        with self._store.transaction() as connection:
            self._rows.show(connection, old, new, change.event)
            self._rows.discard(connection, gone.garbage, now)
            self._rows.finish(connection, now)
            self._rows.stand(connection, header.until)
        self._step("landing committed")
        self._rows.found(new.contents())
        self._contents.drop(self._contents.covered())

    def _verify(self, old: Barrier | None, new: Barrier) -> None:
        """Prove that every content that is new is here. Notes those that are not, and raises Diverged."""
        known = old.files if old else {}
        again = frozenset(self._rows.missing())
        wanted = {
            file.digest: file
            for identity, files in new.files.items()
            for path, file in files.items()
            if known.get(identity, {}).get(path) != file or file.digest in again
        }
        missing = [digest for digest, file in wanted.items() if not self.holding.staged(file)]
        self._step("landing proven")
        if missing:
            self._rows.miss(missing)
            self._rows.go("RECEIVED", self._clock.now(), error=f"{len(missing)} contents are missing or damaged")
            raise Diverged(
                f"{len(missing)} contents of round {new.key} are missing or damaged here",
                "they are asked for with the next report, or carry back: isthmus recovery request --snapshot",
            )

    def _fence(self, before: Fence, epoch: int, site: str, new: Barrier, kept: dict[str, Shown]) -> Fence:
        shown = {
            table.name: Shown(table.version, new.files[identity][table.manifest].digest.hex())
            for identity, table in new.tables.items()
        }
        return Fence("standby", max(epoch, before.epoch), site, barrier=new.key, tables=kept | shown)


def _capped(bundle: Delivery, member: str, most: int) -> bytes:
    held = bytearray()
    for piece in bundle.read(member):
        held += piece
        if len(held) > most:
            raise Corrupt(f"{member} of {bundle.header.until} has more than {most:,} bytes")
    return bytes(held)


__all__ = ["Landed", "Landing"]
