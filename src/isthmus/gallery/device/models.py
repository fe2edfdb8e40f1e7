"""Models on a device: which version is active, what it was proven by, and what was refused.

After a synchronisation `settle` goes through the shelves that the device holds. The latest version whose files are
whole, by their digests, and which gives here what it gave where it was published, becomes active, in one
transaction; until then the one before stays, its contents held by a reference of their own even where the server
has removed them. A version that is withdrawn is left at once. One that was rolled back here, or did not prove, is
passed over until it is published with other files. Each of these is an act for the audit log.

Files are put together in memory out of contents that are proven whenever they are read: so an encrypted store
keeps models encrypted too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bson

from isthmus.core.errors import Corrupt, InputError, IsthmusError, MissingExtra, UnknownName
from isthmus.core.ports import Clock
from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.piece import CATALOGUE, shelf, shelved
from isthmus.gallery.publication import Catalogue, Published, identity, whole
from isthmus.gallery.sync.item import Ref
from isthmus.imaging.network import Network, NetworkExtractor

ACTIVE = "active"
_KEY: bytes = bson.encode({"_id": CATALOGUE})

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A version as the device has it. `state`: active, earlier (to fall back to), or why it is not used."""

    name: str
    published: Published
    state: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling changed of a model, in one sentence; `sound` is false where something has to be looked at."""

    name: str
    what: str
    sound: bool = True


class DeviceModels:
    """The models of a device. Belongs to the thread of its store; `step` is told where the work stands."""

    def __init__(self, store: DeviceStore, clock: Clock, step: Step = lambda name: None) -> None:
        self._store, self._clock, self._step = store, clock, step

    def versions(self) -> list[HeldModel]:
        """List the versions that the device knows of, the active one of each model first."""
        found: list[HeldModel] = []
        for name in self._names():
            active, refused = self._store.installed.active(name), self._store.installed.refused(name)
            if active is not None:
                found.append(HeldModel(name, active.published, ACTIVE, active.at))
            there = "" if active is None else active.published.digest
            found += (
                HeldModel(name, one, refused.get(one.digest, "earlier"))
                for one in reversed(self._listed(name))
                if one.digest != there
            )
        return found

    def settle(self) -> list[Settled]:
        """Make of each model the version active that is to be; returns what changed and what is wrong."""
        return [one for name in self._names() for one in self._settled(name)]

    def active(self, name: str) -> Published:
        """Return the version of a model that is active. Raises UnknownName where none is."""
        found = self._store.installed.active(name)
        if found is None:
            raise UnknownName.among("active model", name, self._store.installed.names())
        return found.published

    def file(self, published: Published, path: str) -> bytes:
        """Return a file of a version, proven. Raises Corrupt, UnknownName."""
        return whole(published.file(path), self._content)

    def network(self, name: str) -> Network:
        """Load the active version of a model. Raises UnknownName, Corrupt, MissingExtra, InputError."""
        active = self.active(name)
        if not active.onnx:
            raise InputError(f"{name} {active.version} has no ONNX file", "write its files with --files instead")
        return Network(self.file(active, active.onnx), f"{name} {active.version}")

    def extractor(self, name: str) -> NetworkExtractor:
        """Return a model as the extractor of probes: the version that made the galleries' vectors, or the active.

        Raises UnknownName where neither is here, InputError where it makes no vectors, Corrupt, MissingExtra.
        """
        wanted = {one.model.name for one in self._store.galleries() if one.model is not None}
        there = [self.active(name), *reversed(self._listed(name))]
        chosen = next((one for one in there if one.sight and identity(name, one) in wanted), there[0])
        if chosen.sight is None:
            raise InputError(f"{name} {chosen.version} makes no vectors of pictures", "name another model")
        network = Network(self.file(chosen, chosen.onnx), f"{name} {chosen.version}")
        return NetworkExtractor(network, chosen.sight, identity(name, chosen))

    def roll_back(self, name: str) -> Published:
        """Go back to the latest earlier version that is proven; the present one is passed over from then on.

        Raises UnknownName where none is active, InputError where there is none to go back to.
        """
        present = self.active(name)
        versions = self._listed(name)
        digests = [one.digest for one in versions]
        before = versions[: digests.index(present.digest)] if present.digest in digests else versions
        refused = self._store.installed.refused(name)
        for one in reversed(before):
            if one.digest not in refused and self._unproven(name, one) is None:
                self._activate(name, one, passed_over=present)
                return one
        raise InputError(
            f"there is no version of {name} before {present.version} here", "publish one that is sound"
        )

    def again(self, name: str) -> list[Settled]:
        """Forget what was refused or rolled back of a model, and settle. Raises UnknownName."""
        if name not in self._names():
            raise UnknownName.among("model", name, self._names())
        self._store.installed.forget_refused(name)
        return self._settled(name)

    # --- inside -------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        held = {name for one in self._store.galleries() if (name := shelved(one.gallery)) is not None}
        return sorted(held | set(self._store.installed.names()))

    def _catalogue(self, name: str) -> Catalogue | None:
        """Return the catalogue that came; None where the shelf, or it, is not here. Raises Corrupt."""
        gallery = shelf(name)
        if all(one.gallery != gallery for one in self._store.galleries()):
            return None
        item = self._store.item(gallery, self._store.place(gallery, _KEY))
        if item is None or item.image is None:
            return None
        return Catalogue.of_content(self._store.contents.read(item.image), name)

    def _listed(self, name: str) -> tuple[Published, ...]:
        try:
            catalogue = self._catalogue(name)
        except Corrupt:
            return ()
        return catalogue.versions if catalogue else ()

    def _settled(self, name: str) -> list[Settled]:
        active = self._store.installed.active(name)
        if all(one.gallery != shelf(name) for one in self._store.galleries()):
            if active is None:
                return []
            self._store.installed.deactivate(name)
            self._note("model left", name, active.published, "taken away")
            return [Settled(name, "was taken away and deleted here")]
        try:
            catalogue = self._catalogue(name)
        except Corrupt as error:
            return [self._healing(name, str(error))]
        if catalogue is None:
            return []  # the synchronisation was interrupted before the catalogue came
        told: list[Settled] = []
        if active is not None and any(one.version == active.published.version for one in catalogue.withdrawn):
            self._store.installed.deactivate(name)
            self._note("model left", name, active.published, "withdrawn")
            told.append(Settled(name, f"{active.published.version} is withdrawn and no longer active"))
            active = None
        refused = self._store.installed.refused(name)
        for one in reversed(catalogue.versions):
            if one.digest in refused:
                continue
            if active is not None and one.digest == active.published.digest:
                told += self._checked(name, one)
                break
            try:
                wrong = self._unproven(name, one)
            except MissingExtra as error:
                return [*told, Settled(name, f"{one.version} waits: {error}", sound=False)]
            if wrong is None:
                self._activate(name, one)
                told.append(Settled(name, f"{one.version} is active, proven here"))
                break
            if isinstance(wrong, _Damaged):
                told.append(self._healing(name, f"{one.version}: {wrong}"))
                break
            self._store.installed.refuse(name, one, f"not proven: {wrong}")
            self._note("model not proven", name, one, str(wrong))
            told.append(Settled(name, f"{one.version} is not proven and not used: {wrong}", sound=False))
        return told

    def _checked(self, name: str, active: Published) -> list[Settled]:
        """Look whether the contents of the active version are as they should be, and have them healed if not."""
        try:
            for file in active.files:
                self.file(active, file.path)
        except Corrupt as error:
            return [self._healing(name, f"{active.version}: {error.what}")]
        return []

    def _unproven(self, name: str, one: Published) -> IsthmusError | None:
        """Say why a version may not become active; None where it is whole and gives what it should."""
        try:
            contents = {file.path: whole(file, self._content) for file in one.files}
        except Corrupt as error:
            return _Damaged(error.what, error.hint)
        self._step("model whole")
        if not one.onnx:
            return None
        try:
            Network(contents[one.onnx], f"{name} {one.version}").prove(one.proof)
        except MissingExtra:
            raise
        except (Corrupt, InputError) as error:
            return error
        self._step("model proven")
        return None

    def _activate(self, name: str, one: Published, passed_over: Published | None = None) -> None:
        at = self._clock.now().isoformat(timespec="seconds")
        self._store.installed.activate(name, one, at, passed_over)
        self._note(
            "model active", name, one, "proven" if passed_over is None else f"back from {passed_over.version}"
        )
        self._step("model active")

    def _note(self, act: str, name: str, one: Published, why: str) -> None:
        """Queue an act for the audit log of the server, where it tells what runs on which device."""
        self._store.queue.note(act, shelf(name), one.version, f"{one.digest[:12]}: {why}")

    def _healing(self, name: str, what: str) -> Settled:
        """Let what is damaged be fetched anew by the next synchronisation."""
        self._store.lose_damaged(shelf(name))
        return Settled(name, f"{what}; the next synchronisation fetches it anew", sound=False)

    def _content(self, digest: bytes) -> bytes:
        return self._store.contents.read(Ref(digest, 0))


class _Damaged(Corrupt):
    """A content is not here, or was altered on the disk: what another synchronisation heals."""


__all__ = ["ACTIVE", "DeviceModels", "HeldModel", "Settled"]
