"""The sync server's side: who may have what, and one index a gallery for all sessions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from isthmus.core.errors import InputError
from isthmus.gallery.piece import shelved
from isthmus.gallery.ports import Set
from isthmus.gallery.sync.damage import Damages
from isthmus.gallery.sync.epochs import Epochs
from isthmus.gallery.sync.index import Index, SameHash
from isthmus.gallery.sync.mode import Mode
from isthmus.gallery.sync.offer import Offer
from isthmus.gallery.sync.ports import Policy
from isthmus.imaging.port import Model
from isthmus.state.audit import Audit

ModelOf = Callable[[str], Model | None]
"""The model whose vectors devices get of a gallery, its threshold the gallery's own; None where it has none."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`idle_s`: how long a device may be silent; it may be hashing a large gallery anew.

    `most_indexes`: how many indexes are kept in memory.
    """

    idle_s: float = 600.0
    most_indexes: int = 16


@dataclass(slots=True)
class Told:
    """What one gallery cost in one session. `withheld`: how often an image was asked for that is damaged here."""

    tiers: list[str] = field(default_factory=list)
    items: int = 0
    removed: int = 0
    content_bytes: int = 0
    withheld: int = 0
    agreed: bool | None = None


@dataclass(slots=True)
class Served:
    """How a session went; `ended` is why it ended early, empty where the device said goodbye."""

    device: str
    galleries: dict[str, Told] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    ended: str = ""


class SyncServer:
    """Serves devices. One event loop, one thread: the set's store belongs to it."""

    def __init__(
        self,
        galleries: Set,
        epochs: Epochs,
        policy: Policy,
        audit: Audit,
        model_of: ModelOf = lambda gallery: None,
        settings: ServerSettings = ServerSettings(),
    ) -> None:
        self.set, self.epochs, self.policy, self.audit = galleries, epochs, policy, audit
        self.model_of, self.settings = model_of, settings
        self.damages = Damages(galleries)
        self._indexes: OrderedDict[tuple[str, bytes, Mode, str], Index] = OrderedDict()

    def modes(self, device: str) -> dict[str, Mode]:
        """Return what a device may hold now; of a model's shelf its pieces. Raises Refused where it is revoked."""
        there = [stat.gallery for stat in self.set.galleries() if 0 < len(stat.gallery) <= 255]
        granted = self.policy.allowed(device, there)
        modes = {name: Mode.IMAGES if shelved(name) else mode for name, mode in granted.items()}
        return {name: mode for name, mode in modes.items() if self._can(name, mode)}

    async def index(self, gallery: str, mode: Mode) -> Index:
        """Return the index of a gallery, brought up to date."""
        for _ in range(3):
            index = self._index(gallery, mode)
            try:
                await index.view()
            except SameHash:
                self.epochs.renew(gallery)
            else:
                return index
        raise InputError(f"the keys of {gallery} have equal hashes again and again", "look for equal keys in it")

    def _index(self, gallery: str, mode: Mode) -> Index:
        epoch = self.epochs.of(gallery)
        model = self.model_of(gallery)
        name = model.name if model is not None and mode.vectors else ""
        index = self._indexes.get((gallery, epoch.id, mode, name))
        if index is None:
            index = Index(Offer(self.set, gallery, epoch.key, mode, name))
            self._indexes[(gallery, epoch.id, mode, name)] = index
        self._indexes.move_to_end((gallery, epoch.id, mode, name))
        while len(self._indexes) > self.settings.most_indexes:
            self._indexes.popitem(last=False)
        return index

    def _can(self, gallery: str, mode: Mode) -> bool:
        return mode.images or self.model_of(gallery) is not None
