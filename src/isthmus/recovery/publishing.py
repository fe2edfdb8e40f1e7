"""Publishes a verified round at the standby: see `landing` for the order, and for what a crash leaves."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from isthmus.core.errors import Busy, Corrupt, Diverged, InputError
from isthmus.core.ports import Clock
from isthmus.recovery.barrier import Barrier, HeldFile
from isthmus.recovery.contents import is_content
from isthmus.recovery.damage import put_copy
from isthmus.recovery.holding import Desync, Holding
from isthmus.recovery.placing import (
    VERSIONS,
    Placing,
    Plan,
    fits,
    folder_of,
    path_of,
    placed_files,
    planned,
    remove,
    shown_version,
)
from isthmus.recovery.restoring import Publication, Restoring
from isthmus.state.lock import held, patiently
from isthmus.state.store import Store
from isthmus.transfer.gate import Step
from isthmus.warehouse import fence as fences
from isthmus.warehouse.fence import Fence, Shown
from isthmus.warehouse.grants import Grants

_CATALOG_LOCK = ".catalog.lock"
"""The lock of `warehouse.catalog` for making and dropping tables: who holds it sees none half made."""
_WORK = "a change of the catalogue"
_PATIENCE_S = 30.0


class _Undone(Exception):
    """Ends a transaction that was only to be tried."""


class Publishing:
    """The last act of a round. Whoever calls holds the lock of the landing."""

    def __init__(
        self, store: Store, holding: Holding, rounds: Restoring, clock: Clock, desync: Desync, step: Step
    ) -> None:
        self._store, self._holding, self._rounds, self._clock = store, holding, rounds, clock
        self._desync, self._step, self._root = desync, step, holding.root
        self._grants = Grants(store)
        self._placing = Placing(self._root, holding.contents.path, step)

    def fence(self) -> Fence:
        """Return what the root says of itself."""
        return fences.read(self._root)

    def grants_fit(self, barrier: Barrier) -> None:
        """Raise Corrupt where the rights on the tables of a barrier are none that can be given here."""
        try:
            with self._store.transaction() as connection:
                for table in barrier.tables.values():
                    self._grants.replace_all(table.name, table.grants, connection)
                raise _Undone  # noqa: TRY301 - the transaction is rolled back by it
        except _Undone:
            return
        except InputError as error:
            raise Corrupt(f"round {barrier.key} grants what cannot be granted: {error.what}") from error

    def claim(self, publication: Publication) -> None:
        """Hide the names of tables that come new, and see that none of them is this site's own.

        Raises Busy where one is: it is never overwritten, and the round waits until it was renamed or dropped.
        """
        barrier, known = self._barrier(publication), self._holding.rows.names()
        new = {table.name: table.identity for table in barrier.tables.values() if table.name not in known}
        if not new:
            return
        self.fence_again(new)
        with contextlib.ExitStack() as once:
            patiently(lambda: once.enter_context(held(self._root / _CATALOG_LOCK, _WORK)), for_s=_PATIENCE_S)
            own = {name: found for name in new if (found := self._identity(name)) is not None}
        for name, identity in sorted(own.items()):
            if identity == new[name]:  # it was replicated once, or was copied here
                self._holding.take_in(name, identity)
                continue
            self.fence_again()
            raise Busy(
                f"the table {name} of this site is not the one that {publication.header.site} replicates as such",
                "rename or drop it here, or take it out of the publication there; the round waits",
            )

    def verified(self, publication: Publication) -> Plan:
        """Prove every content that is to be placed, and see that what stays is there; return what is to be done.

        Raises Diverged, once all that is missing is written down.
        """
        barrier, holding = self._barrier(publication), self._holding
        came = set(holding.contents.whole())
        again = came if not publication.change.prior else came & set(holding.missing())
        plan = planned(barrier, holding.rows.present(), holding.rows.readable(), again)
        gone = {
            place: file for place, file in plan.kept.items() if not fits(path_of(self._root, place), file.size)
        }
        plan = Plan(
            {place: file for place, file in plan.kept.items() if place not in gone},
            {**plan.placed, **gone},
            plan.colliding,
        )
        needed = {file.digest: file.size for file in plan.coming.values()}
        bad = {digest: size for digest, size in needed.items() if not self._staged(digest, size, digest in came)}
        if bad:
            holding.rows.miss(bad)
            raise Diverged(
                f"{len(bad)} contents of round {barrier.key} are damaged or have not come, the first of"
                f" {next(iter(bad.values())):,} bytes: nothing was shown",
                "ask for a full round",
            )
        return plan

    def resume(self, publication: Publication) -> None:
        """Finish a publication that was cut short, or take it back where a content was damaged meanwhile."""
        barrier = self._barrier(publication)
        files = placed_files(barrier)
        if self.fence().barrier == barrier.key and all(
            fits(path_of(self._root, place), file.size) for place, file in files.items()
        ):
            self._commit(publication, barrier, ())  # it was shown already
            self._step("landing committed")
            self._swept()
            return
        try:
            plan = self.verified(publication)
        except Diverged as error:
            self.take_back(publication, error.what)
        else:
            self.publish(publication, plan, again=True)

    def publish(self, publication: Publication, plan: Plan, *, again: bool = False) -> None:
        """Place the files of a verified round, show its barrier, and commit. Doing it `again` does no harm."""
        barrier, holding = self._barrier(publication), self._holding
        coming, colliding = plan.coming, {place.name for place in plan.colliding}
        new = {place.name for place in coming} - {place.name for place in holding.rows.readable()}
        self.fence_again(new | colliding if again else new)
        self._step("landing hidden")
        holding.set_aside_rogues(coming)
        holding.keep_manifests(barrier, self._lies)
        self._step("landing manifests kept")
        self._place(plan, new)
        if self._vanished(barrier):  # somebody's cleanup took away what no manifest named yet
            self._place(plan, new)
        gone = self._vanished(barrier)
        if gone:
            raise OSError(errno.EIO, f"{len(gone)} files vanish as soon as they are placed", str(gone[0]))
        self._flip(publication, barrier)
        self._step("landing flipped")
        self._commit(publication, barrier, {file.digest for file in coming.values()})
        self._step("landing committed")
        self._swept()

    def _place(self, plan: Plan, new: Collection[str]) -> None:
        """Place files, manifests after all others, and last what takes the place of something that is shown."""
        place, files = self._placing.place, plan.placed.items()
        place({place: file for place, file in files if not place.manifest}, "data")
        place({place: file for place, file in files if place.manifest}, "manifest")
        if plan.colliding:
            self.fence_again({*new, *(place.name for place in plan.colliding)})
            self._step("landing collision hidden")
            place(plan.colliding, "collision")

    def _vanished(self, barrier: Barrier) -> list[Path]:
        paths = ((path_of(self._root, place), file) for place, file in placed_files(barrier).items())
        return [path for path, file in paths if not fits(path, file.size)]

    def take_back(self, publication: Publication, why: str) -> None:
        """Take back what was placed of a round: the barrier before it is shown, and whole."""
        barrier, holding = self._barrier(publication), self._holding
        present, readable = holding.rows.present(), holding.rows.readable()
        files = placed_files(barrier)
        mine = [place for place, file in files.items() if present.get(place) != file and place not in readable]
        remove(self._root, mine)
        for place in files.keys() & readable.keys():
            file, path = readable[place], path_of(self._root, place)
            if files[place] != file and not is_content(path, file.digest, file.size):
                source = holding.source(file.digest, file.size)
                if source is not None:
                    put_copy(source, path, file.digest, file.size)
        self._step("landing taken back")
        self.fence_again()
        with self._store.transaction() as connection:
            self._rounds.published(connection)
            self._rounds.went(connection, publication.number, "taken back", self._clock.now(), why)

    def fence_again(self, hidden: Iterable[str] = ()) -> None:
        """Make the fence say what is held: the shown tables, those that left, and `hidden` ones beside."""
        before, shown = self.fence(), self._holding.shown()
        tables = dict(before.tables) if shown is None else self._shown(shown)
        fence = replace(
            before,
            barrier=shown.key if shown else before.barrier,
            tables=tables,
            hidden=tuple(sorted({*hidden, *self._holding.rows.leaving()})),
        )
        if fence != before and before.role == "standby":
            fences.write(self._root, fence)

    def sweep(self) -> None:
        """Let go of all that is staged: no round is under way."""
        contents = self._holding.contents
        covered = contents.covered()
        if covered:
            contents.drop(covered)
            contents.sweep()
            self._step("landing swept")

    def _swept(self) -> None:
        self.sweep()
        self.fence_again()

    def _flip(self, publication: Publication, barrier: Barrier) -> None:
        """Show the new barrier: the one moment at which all its tables change."""
        header, before = publication.header, self.fence()
        tables = self._shown(barrier)
        old = self._holding.shown()
        leaving = self._holding.rows.names() - tables.keys()
        if old is not None and self._desync != "drop-desync-table":  # they stay readable as they are
            for table in old.tables.values():
                if table.identity not in barrier.tables and table.name not in tables:
                    tables[table.name] = Shown(*shown_version(table, old.files[table.identity]))
        epoch = max(before.epoch, header.until.epoch)
        hidden = tuple(sorted(leaving - tables.keys()))
        fence = replace(
            before, epoch=epoch, primary=header.site, barrier=barrier.key, tables=tables, hidden=hidden
        )
        fences.write(self._root, fence)

    def _commit(self, publication: Publication, barrier: Barrier, proven: Collection[bytes]) -> None:
        header, change, now = publication.header, publication.change, self._clock.now()
        old = self._holding.shown()
        gone = {table.name for table in old.tables.values()} if old else set()
        gone -= {table.name for table in barrier.tables.values()}
        with self._store.transaction() as connection:
            self._holding.rows.show(connection, barrier, now, self._desync, proven)
            for table in barrier.tables.values():
                self._grants.replace_all(table.name, table.grants, connection)
            for name in gone - self._holding.left().keys():
                self._grants.replace_all(name, (), connection)
            self._rounds.published(connection)
            self._rounds.name(connection, change.publications)
            self._rounds.went(
                connection, publication.number, "published", now, prior=change.prior, event=change.event
            )
            self._rounds.stand(connection, header.stream, header.key, header.until, full=False)

    def _barrier(self, publication: Publication) -> Barrier:
        return publication.change.applied(self._holding.shown())

    def _shown(self, barrier: Barrier) -> dict[str, Shown]:
        shown = {name: Shown(*what) for name, what in self._holding.left().items()}
        for identity, table in barrier.tables.items():
            shown[table.name] = Shown(*shown_version(table, barrier.files[identity]))
        return shown

    def _staged(self, digest: bytes, size: int, came: bool) -> bool:
        """Have a content staged and proven: what came, or else a copy that lies here."""
        contents, holding = self._holding.contents, self._holding
        if came:
            if contents.proven(digest, size):
                return True
            contents.drop([digest])
        kept = holding.manifest_copy(digest)
        return any(
            contents.share(digest, size, path, apart=path == kept)
            for path in (*holding.paths(digest), kept)
            if fits(path, size)
        )

    def _lies(self, file: HeldFile) -> Path | None:
        contents = self._holding.contents
        if contents.proven(file.digest, file.size):
            return contents.path(file.digest)
        return self._holding.source(file.digest, file.size)

    def _identity(self, name: str) -> str | None:
        """Return the identity of the table under a name, empty where it has none; None where there is no table."""
        folder = folder_of(self._root, name)
        if not any((folder / VERSIONS).glob("*.manifest")):
            return None
        import lance

        from isthmus.warehouse import declared

        try:
            arrow = lance.dataset(str(folder)).schema
        except (ValueError, OSError):
            return ""
        return str((arrow.metadata or {}).get(declared.IDENTITY, b"").decode())
