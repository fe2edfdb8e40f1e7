"""What the standby holds: the files of replicated tables, kept sound, and removed once nobody needs them.

Files that neither the shown barrier nor the one before it needs go, after a grace for readers. What others wrote
into a replica is set aside. Damaged files are replaced by good copies, and a site that takes over rewinds its
tables to what is shown.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.ports import Clock
from isthmus.recovery.barrier import Barrier, HeldFile
from isthmus.recovery.contents import Contents, is_content
from isthmus.recovery.damage import Damage, Finding, Mending, Rogues, put_copy
from isthmus.recovery.heldrows import Desync, HeldRows
from isthmus.recovery.placing import HINT, VERSIONS, Place, fits, folder_of, path_of, placed_files, version_of
from isthmus.state.files import private_folder, sync_folder
from isthmus.state.store import Store
from isthmus.transfer.gate import Step, no_step
from isthmus.transfer.patience import Waited
from isthmus.transfer.sealing import digest_of
from isthmus.warehouse.place import as_uri, local_path

__all__ = ["GRACE_S", "Damage", "Desync", "Finding", "Holding"]

GRACE_S = 3600.0


class Holding:
    """The replicated tables under a local root. `folder` lies on the same disk where that can be."""

    def __init__(
        self,
        store: Store,
        catalog_root: str | Path,
        folder: Path,
        clock: Clock,
        *,
        grace_s: float = GRACE_S,
        step: Step = no_step,
    ) -> None:
        """Open. Raises InputError where the root is no local folder."""
        root = local_path(as_uri(catalog_root))
        if root is None:
            raise InputError(f"{catalog_root} is no local folder", "a standby keeps its tables in a local folder")
        self.root, self._store, self._clock, self._grace_s, self._step = root, store, clock, grace_s, step
        self.rows = HeldRows(store)
        self.contents = Contents(store, folder / "contents", step)
        self._manifests = folder / "manifests"
        private_folder(self._manifests)
        self._rogues = Rogues(root, folder / "rogue", self.manifest_copy)
        self.roll_back: Callable[[], None] = lambda: None
        """Takes back a publication that is under way; the landing says how."""

    def shown(self) -> Barrier | None:
        """Return the barrier that is shown; None before the first."""
        return self.rows.shown()

    def left(self) -> dict[str, tuple[int, str]]:
        """Return the tables that are not replicated any more but still read here: version and manifest."""
        return self.rows.left()

    def findings(self) -> list[Finding]:
        """List what was found wrong and put right, or has to be known, oldest first."""
        return self.rows.findings()

    def inventory(self) -> dict[bytes, int]:
        """Return the contents that lie here, BLAKE3 to size; those known to be damaged are left out."""
        return self.rows.contents() | self.contents.whole()

    def missing(self) -> list[bytes]:
        """Name the contents that are needed, and of which no good copy lies here."""
        return self.rows.missing()

    def paths(self, digest: bytes) -> list[Path]:
        """Return where a content should lie in tables."""
        return [path_of(self.root, place) for place in self.rows.places(digest)]

    def source(self, digest: bytes, size: int) -> Path | None:
        """Find a good copy of a content in the tables, or among the kept manifests; None where there is none."""
        places = [*self.paths(digest), self.manifest_copy(digest)]
        return next((path for path in places if is_content(path, digest, size)), None)

    def manifest_copy(self, digest: bytes) -> Path:
        """Return where a manifest is kept beside its table, so that it can be put back, whether it is or not."""
        return self._manifests / digest.hex()

    def keep_manifests(self, barrier: Barrier, source: Callable[[HeldFile], Path | None]) -> None:
        """Copy the manifests of a barrier aside, durably. Raises Corrupt where one is not what it should be."""
        for identity, table in barrier.tables.items():
            file = barrier.files[identity][table.manifest]
            kept = self.manifest_copy(file.digest)
            if is_content(kept, file.digest, file.size):
                continue
            found = source(file)
            if found is None or not put_copy(found, kept, file.digest, file.size):
                raise Corrupt(f"the manifest {file.path} of {table.name} is not what it should be")

    def collect(self) -> list[str]:
        """Remove the files that neither the shown barrier nor the one before it needs, after the grace."""
        now, done = self._clock.now(), -1
        with self._store.transaction() as connection:
            for row in connection.execute(
                "SELECT number, looked, waited FROM holding_barrier"
                " WHERE number < (SELECT max(number) FROM holding_barrier)"
            ).fetchall():
                waited = Waited(datetime.fromisoformat(row["looked"]), row["waited"]).again(now, self._grace_s)
                connection.execute(
                    "UPDATE holding_barrier SET looked = ?, waited = ? WHERE number = ?",
                    (now.isoformat(), waited.seconds, row["number"]),
                )
                if waited.enough(self._grace_s):
                    done = max(done, row["number"])
        return self._remove(done) if done >= 0 else []

    def set_aside_rogues(self, coming: Mapping[Place, HeldFile] | None = None) -> list[Finding]:
        """Find what somebody else wrote into replicated tables, set it aside, and put back what it replaced.

        `coming` are files of a publication that is under way. Versions are told apart by their manifests' digests.
        """
        known, readable, now = self.rows.known(VERSIONS), self.rows.readable(), self._clock.now()
        mine: dict[str, dict[str, bytes]] = {place.name: {} for place in readable}
        arriving: dict[str, dict[str, bytes]] = {name: {} for name in mine}
        shown: dict[str, dict[str, HeldFile]] = {name: {} for name in mine}
        for place, digest in known.items():
            mine.get(place.name, {})[place.path] = digest
        for place, file in (coming or {}).items():
            arriving.get(place.name, {})[place.path] = file.digest
        for place, file in readable.items():
            if place.manifest and place.path not in arriving[place.name]:
                shown[place.name][place.path] = file
        found = [
            Finding(now, "rogue", name, what)
            for name in sorted(mine)
            for what in self._rogues.look(name, mine[name], arriving[name], shown[name], now, self._mine)
        ]
        self.rows.note(*found)
        return found

    def check(self, deep: bool) -> list[Damage]:
        """Find files of readable tables that are missing or of another size; `deep` reads them all, too."""
        return self._mending().check(deep)

    def repair(self, fetch: Callable[[bytes], Path | None]) -> list[Damage]:
        """Replace damaged files, and only those, by good copies that lie here or that `fetch` brings.

        Returns what was replaced. What has no good copy is `missing` afterwards; the next full round brings it.
        """
        replaced, lost = self._mending().repair(fetch)
        here = {file.digest for file in self.rows.readable().values()}
        self.rows.miss(lost, here - lost.keys())
        return replaced

    def rewind(self) -> list[str]:
        """Take back what lies beyond the shown barrier, so that each table's latest version is the shown one.

        Afterwards the tables can be written, and no file of tables that are gone is left. Doing it twice does
        nothing more. Return what was done in words.
        """
        self.roll_back()
        events = [str(one) for one in self.set_aside_rogues()]
        shown = self.shown()
        versions = {name: version for name, (version, _) in self.left().items()}
        versions |= {table.name: table.version for table in shown.tables.values()} if shown else {}
        for name, version in sorted(versions.items()):
            folder = folder_of(self.root, name) / VERSIONS
            for file in sorted(folder.glob("*.manifest")):
                there = version_of(f"{VERSIONS}/{file.name}")
                if there is None or there > version:
                    file.unlink()
                    events.append(f"removed version {there} of {name}, which is not shown")
            (folder / HINT).unlink(missing_ok=True)
            if folder.is_dir():
                sync_folder(folder)
            self._step("holding rewound")
        return events + [self._drop(name) for name in sorted(self.rows.leaving())]

    def adopt(self, barrier: Barrier, now: datetime) -> None:
        """Take files that lie here already for those of a barrier that is shown; forget all that was held before.

        What else lies in its tables is removed after the grace. Raises Corrupt where a file is not there.
        """
        files = placed_files(barrier)
        for place, file in files.items():
            if not fits(path_of(self.root, place), file.size):
                raise Corrupt(f"{place.path} of {place.name} is not there", "follow with a full round")
        of = {table.name: identity for identity, table in barrier.tables.items()}
        others = {
            Place(name, path): size
            for name in of
            for path, size in self._rogues.files(name).items()
            if Place(name, path) not in files
        }
        lies = {file.digest: path_of(self.root, place) for place, file in files.items()}
        self.keep_manifests(barrier, lambda file: lies[file.digest])
        with self._store.transaction() as connection:
            self.rows.forget_all(connection)
            number = self.rows.show(connection, barrier, now, "none")
            connection.executemany(
                "INSERT INTO holding_file VALUES (?, ?, ?, ?, x'', ?, ?)",
                [(at.name, at.path, of[at.name], size, number - 1, number) for at, size in others.items()],
            )

    def take_in(self, name: str, identity: str) -> None:
        """Hold the files of a table that lies here, each by what is in it; a copy of the table is kept aside."""
        now = self._clock.now()
        place = self._rogues.copy_aside(name, now)
        folder = folder_of(self.root, name)
        rows = [
            (name, path, identity, size, bytes.fromhex(digest_of(folder / path)), 0, 0)
            for path, size in self._rogues.files(name).items()
        ]
        with self._store.transaction() as connection:
            connection.executemany("REPLACE INTO holding_file VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        what = f"a table of the same identity lay here; as it was it is kept in {place}"
        self.rows.note(Finding(now, "kept", name, what))

    def _remove(self, upto: int) -> list[str]:
        """Remove what no barrier needs from the barrier `upto` on."""
        before = self.rows.names()
        rows, places = self.rows.unneeded(upto)
        folders = set()
        for place in sorted(places, key=lambda place: not place.manifest):  # a manifest never outlives its files
            path = path_of(self.root, place)
            path.unlink(missing_ok=True)
            folders.add(path.parent)
            self._step("holding removed")
        for folder in filter(Path.is_dir, folders):
            sync_folder(folder)
        with self._store.transaction() as connection:
            connection.executemany(
                "DELETE FROM holding_file WHERE name = ? AND path = ? AND first = ?",
                [(place.name, place.path, first) for place, first in rows],
            )
            connection.execute("DELETE FROM holding_barrier WHERE number <= ?", (upto,))
        self._step("holding forgot")
        needed = {digest.hex() for digest in self.rows.known(VERSIONS).values()}
        for file in self._manifests.iterdir():
            if file.name not in needed:
                file.unlink()
        events = [f"removed {len(places)} files that no barrier needs"] if places else []
        return events + [self._drop(name) for name in sorted(before - self.rows.names())]

    def _drop(self, name: str) -> str:
        """Remove a table that is not shown; what others wrote there is kept aside."""
        self._rogues.aside(name, self._mine(name), self._clock.now())
        shutil.rmtree(folder_of(self.root, name), ignore_errors=True)
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM holding_file WHERE name = ?", (name,))
        return f"removed the table {name}, which is not replicated any more"

    def _mine(self, name: str) -> dict[str, bytes]:
        return {place.path: digest for place, digest in self.rows.known().items() if place.name == name}

    def _mending(self) -> Mending:
        return Mending(self.root, self.rows.readable(), self.source, self.contents)
