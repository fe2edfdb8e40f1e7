"""What a standby holds: its files by content, what is damaged, what was written behind its back, what may go.

Manifests are small and everything hangs on them, so a second copy of each shown one is kept: a manifest that was
overwritten is found by its digest, never by its number, and put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from isthmus.core.ports import Clock
from isthmus.recovery.barrier import Barrier, HeldFile
from isthmus.recovery.landed import Landings
from isthmus.recovery.laying import Laying, remove
from isthmus.recovery.staged_contents import Contents, is_content, link
from isthmus.state.files import sync_folder
from isthmus.state.store import Store
from isthmus.warehouse import fence as fences
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Shown
from isthmus.warehouse.files import VERSIONS
from isthmus.warehouse.place import local_path

Desync = Literal["none", "log-desync-table", "drop-desync-table"]


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a shown table that is not what the barrier says: missing, cut or altered."""

    path: Path
    what: str
    file: HeldFile


@dataclass(frozen=True, slots=True)
class Leaving:
    """What a new barrier lets go: garbage, as paths under the root, and tables that stay readable as they are."""

    garbage: tuple[str, ...] = ()
    kept: dict[str, Shown] = field(default_factory=dict)
    left: tuple[str, ...] = ()


class Holding:
    """The files of a standby. `desync` says what becomes of a table that is published no more."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        rows: Landings,
        contents: Contents,
        laying: Laying,
        clock: Clock,
        desync: Desync = "none",
        grace_s: float = 3600.0,
    ) -> None:
        self._store, self._catalog, self._rows, self._contents = store, catalog, rows, contents
        self._laying, self._clock, self._desync, self._grace_s = laying, clock, desync, grace_s
        self._copies = contents.folder.with_name("manifests")

    def inventory(self) -> dict[bytes, int]:
        """Return the contents that are held, BLAKE3 to size: those of the shown barrier, and whole staged ones."""
        barrier = self._rows.barrier()
        held = barrier.contents() if barrier else {}
        found = {**held, **self._contents.whole()}
        for digest in self._rows.missing():
            found.pop(digest, None)
        return found

    def source(self, file: HeldFile) -> Path:
        """Return a file with a content that was proven to be here."""
        staged = self._contents.path(file.digest)
        return staged if staged.exists() else self._lying(file) or staged

    def staged(self, file: HeldFile) -> bool:
        """Make sure that a content is here, whole and proven; what lies in a table is linked beside the staged."""
        if file.digest in self._contents.whole():
            if self._contents.proven(file.digest, file.size):
                return True
            self._contents.drop([file.digest])
        place = self._lying(file)
        return place is not None and self._contents.share(file.digest, file.size, place)

    def leaving(self, old: Barrier | None, new: Barrier) -> Leaving:
        """Say what goes when a barrier takes the place of the one before."""
        root = local_path(self._catalog.root)
        assert root is not None
        garbage: list[str] = []
        left: list[str] = []
        names = {table.name for table in new.tables.values()}
        if old is None:
            return Leaving()
        earlier = names | {table.name for table in old.tables.values()}
        shown = fences.read(self._catalog.root).tables
        kept = {name: one for name, one in shown.items() if name not in earlier}  # left by an earlier round
        for identity, table in old.tables.items():
            folder = self._laying.folder(table.name)
            now = new.tables.get(identity)
            if now is None and table.name not in names:
                left.append(table.name)
                if self._desync == "drop-desync-table":
                    garbage.append(str(folder.relative_to(root)))
                else:
                    manifest = old.files[identity][table.manifest]
                    kept[table.name] = Shown(table.version, manifest.digest.hex())
            elif now is not None and now.name != table.name and table.name not in names:
                garbage.append(str(folder.relative_to(root)))
            elif now is not None and now.name == table.name:
                gone = old.files[identity].keys() - new.files[identity].keys()
                garbage += [str((folder / path).relative_to(root)) for path in gone]
        return Leaving(tuple(garbage), kept, tuple(left))

    def tidy(self) -> list[str]:
        """Remove what nothing has shown for the grace, and put back manifests that were overwritten."""
        return [*self._rogue(), *self._sweep()]

    def check(self, deep: bool = False) -> list[Damage]:
        """Find files of the shown tables that are missing or of another size; `deep`: or of another content."""
        barrier = self._rows.barrier()
        found: list[Damage] = []
        for identity, table in barrier.tables.items() if barrier else ():
            folder = self._laying.folder(table.name)
            for file in barrier.files[identity].values() if barrier else ():
                path = folder / file.path
                what = _damage(path, file, deep)
                if what:
                    found.append(Damage(path, what, file))
        return found

    def repair(self, fetch: Callable[[bytes], Path | None] = lambda digest: None) -> list[Damage]:
        """Replace damaged files, and only those, by good copies that lie here or that `fetch` brings.

        What nobody here has is noted as missing: it comes again with the next full round. Returns what is left.
        """
        left = []
        for damage in self.check(deep=True):
            file = damage.file
            copies = [self._contents.path(file.digest), self._copies / file.digest.hex()]
            copies += [path for path in self._each_lying(file) if path != damage.path]
            good = next((path for path in copies if is_content(path, file.digest, file.size)), None)
            if good is None:
                brought = fetch(file.digest)
                good = brought if brought and is_content(brought, file.digest, file.size) else None
            if good is None:
                left.append(damage)
                continue
            damage.path.parent.mkdir(parents=True, exist_ok=True)
            link(good, damage.path)
            sync_folder(damage.path.parent)
        self._rows.miss(damage.file.digest for damage in left)
        return left

    def rewind(self) -> None:
        """Let every shown table's latest version be the shown one; half published or rogue ones go aside."""
        self._rogue()
        for name in fences.read(self._catalog.root).hidden:
            remove(self._laying.folder(name))

    def _rogue(self) -> list[str]:
        """Find manifests that no round brought, and put the shown ones back."""
        barrier = self._rows.barrier()
        told = []
        for identity, table in barrier.tables.items() if barrier else ():
            assert barrier is not None
            folder, file = self._laying.folder(table.name), barrier.files[identity][table.manifest]
            for path in self._laying.above(folder, table.version):
                self._laying.put_away(path, table.name)
                told.append(f"a write to the replica {table.name} was set aside: {path.name}")
            path, copy = folder / file.path, self._copies / file.digest.hex()
            if is_content(path, file.digest, file.size):
                if not copy.exists():
                    self._copies.mkdir(parents=True, exist_ok=True)
                    link(path, copy)
            elif is_content(copy, file.digest, file.size):
                if path.exists():
                    self._laying.put_away(path, table.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                link(copy, path)
                sync_folder(path.parent)
                told.append(f"the manifest of the replica {table.name} was overwritten, and is as it was again")
        return told

    def _sweep(self) -> list[str]:
        root, barrier = local_path(self._catalog.root), self._rows.barrier()
        assert root is not None
        before = self._clock.now() - timedelta(seconds=self._grace_s)
        needed = set()
        for identity, table in barrier.tables.items() if barrier else ():
            assert barrier is not None
            folder = self._laying.folder(table.name)
            needed.add(str(folder.relative_to(root)))
            needed |= {str((folder / path).relative_to(root)) for path in barrier.files[identity]}
        done = []
        for path, since in self._rows.garbage():
            if path not in needed and since > before:
                continue
            if path not in needed:
                remove(root / path)
            done.append(path)
        if done:
            self._rows.cleared(done)
        shown = barrier.files.values() if barrier else ()
        live = {file.digest.hex() for files in shown for file in files.values() if VERSIONS in file.path}
        for copy in self._copies.glob("*") if self._copies.is_dir() else ():
            if copy.name not in live:
                copy.unlink(missing_ok=True)
        return []

    def _lying(self, file: HeldFile) -> Path | None:
        return next(self._each_lying(file), None)

    def _each_lying(self, file: HeldFile) -> Iterator[Path]:
        for identity, path in self._rows.lying(file.digest):
            name = self._rows.name_of(identity)
            if name and (place := self._laying.folder(name) / path).exists():
                yield place


def _damage(path: Path, file: HeldFile, deep: bool) -> str:
    try:
        size = path.stat().st_size
    except OSError:
        return "missing"
    if size != file.size:
        return f"{size:,} bytes, not {file.size:,}"
    return "" if not deep or is_content(path, file.digest, file.size) else "altered"
