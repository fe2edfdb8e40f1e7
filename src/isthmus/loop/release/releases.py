"""Releases of a site: the registry, the folders and the pointer for consumers, kept level with each other.

    <releases>/<pipeline>/<model id>/      one folder a model, which never changes
    <releases>/<pipeline>/champion.json    names the champion's folder; replaced atomically

The order makes every kill harmless: id reserved → folder complete → row → champion → pointer. What a killed
process leaves, `reconcile` finishes or removes at the next start.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import Corrupt, InputError
from isthmus.loop.release import folder as folders
from isthmus.loop.release.card import Card
from isthmus.loop.release.folder import Fill
from isthmus.loop.release.lifecycle import CHAMPION, ModelId
from isthmus.loop.release.place import Place
from isthmus.loop.release.registry import Model, Registry, ignore
from isthmus.state.lock import held

POINTER = "champion.json"


@dataclass(frozen=True, slots=True)
class Pointer:
    """What `champion.json` says: the champion, its folder beside the pointer, and its manifest's BLAKE3."""

    pipeline: str
    model_id: str
    folder: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a reconciliation found.

    `adopted` are models whose folder stood complete without a row; `removed` half-written folders; `missing`
    models whose folder is gone; `damaged` folders that nobody entered and that do not verify (left as they
    are, with the reason); `repointed` pipelines whose pointer lagged; `moved` models that came along when the
    site was moved.
    """

    adopted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    repointed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether there was nothing to do and nothing to report."""
        return self == Reconciled()


class Releases:
    """The released models below one URI."""

    def __init__(self, registry: Registry, uri: str, reached: Callable[[str], None] = ignore) -> None:
        """Look after the releases below `uri`. `reached` is told the name of each durable step."""
        self.registry = registry
        self._root = Place.of(uri)
        self._reached = reached
        self._lock = registry.store.path.with_name("releases.lock")

    def publish(self, model_id: str, weights: Path | Fill, card: Card) -> Model:
        """Write the folder of the model of `card` and enter it as a candidate.

        `model_id` comes from `Registry.allot`. Publishing a model that stands already changes nothing, so a
        killed run may simply publish again. Raises InputError, Busy.
        """
        name = ModelId.parse(model_id)
        if card.model_id != model_id:
            raise InputError(f"the card is that of {card.model_id}", f"write one for {model_id}")
        place = self._place(name)
        with held(self._lock, "a release"):
            if place.exists(folders.MANIFEST):
                self._adopt(place, name)
            else:
                if place.local is None and place.exists():
                    place.remove()  # an upload that was cut off
                digest = folders.write(place.uri, weights, card, self._reached)
                entered = folders.read_card(place.uri)
                self.registry.add_candidate(name.pipeline, place.uri, entered, digest)
            self._reached("candidate entered")
        return self.registry.get(model_id)

    def promote(self, model_id: str, why: str = "", compared_with: str | None = None) -> Model:
        """Verify the model's folder, make it champion and point the consumers to it.

        Raises Corrupt where a byte of the folder changed, and what `Registry.promote` raises.
        """
        self._came_along(self.registry.get(model_id))
        model = self.registry.get(model_id)
        folders.verify(model.folder, model.manifest)
        promoted = self.registry.promote(model_id, why, compared_with)
        self._reached("champion switched")
        self._point(promoted.pipeline)
        return promoted

    def rollback(self, pipeline: str, why: str = "") -> Model:
        """Verify the champion before the present one, go back to it and point the consumers to it.

        Raises Corrupt where a byte of its folder changed, and what `Registry.rollback` raises.
        """
        before = self.registry.predecessor(pipeline)
        self._came_along(before)
        folders.verify(self.registry.get(before.model_id).folder, before.manifest)
        restored = self.registry.rollback(pipeline, why)
        self._reached("champion switched")
        self._point(pipeline)
        return restored

    def reconcile(self) -> Reconciled:
        """Bring folders, registry and pointers level after whatever happened. Raises Busy."""
        adopted: list[str] = []
        removed: list[str] = []
        damaged: list[str] = []
        with held(self._lock, "a release"):
            for pipeline in self._root.folders():
                for inner in self._root.within(pipeline).folders():
                    self._settle(pipeline, inner, adopted, removed, damaged)
            moved = tuple(model.model_id for model in self.registry.list() if self._came_along(model))
            models = self.registry.list()
            missing = [m.model_id for m in models if not Place.of(m.folder).exists(folders.MANIFEST)]
            champions = [model.pipeline for model in models if model.state == CHAMPION]
            repointed = [pipeline for pipeline in champions if self._point(pipeline)]
        return Reconciled(tuple(adopted), tuple(removed), tuple(missing), tuple(damaged), tuple(repointed), moved)

    def _settle(
        self, pipeline: str, inner: str, adopted: list[str], removed: list[str], damaged: list[str]
    ) -> None:
        """Decide about one folder below a pipeline."""
        place = self._root.within(pipeline, inner)
        if inner.startswith(".") and inner.endswith(".part"):
            place.remove()
            removed.append(place.uri)
            return
        try:
            name = ModelId.parse(inner)
        except InputError:
            return  # something of the user's, which is none of our business
        if any(model.model_id == inner for model in self.registry.list(pipeline)):
            return
        if place.local is None and not place.exists(folders.MANIFEST):
            place.remove()  # an upload that was cut off: the manifest goes last
            removed.append(place.uri)
            return
        try:
            self._adopt(place, name)
            adopted.append(inner)
        except (Corrupt, InputError) as error:
            damaged.append(f"{place.uri}: {error}")

    def _came_along(self, model: Model) -> bool:
        """Find a model's folder below the releases where its row names another place; returns whether it did.

        That is so after the site was moved or copied. Only the folder with the very manifest is taken.
        """
        place = self._place(ModelId.parse(model.model_id))
        if place.uri == model.folder or not place.exists(folders.MANIFEST):
            return False
        try:
            _, digest = folders.read_manifest(place.uri)
        except Corrupt:
            return False  # left to those who look for damage
        if digest != model.manifest:
            return False
        self.registry.relocate(model.model_id, place.uri)
        return True

    def _adopt(self, place: Place, name: ModelId) -> None:
        """Enter a complete folder whose process died before its row. Raises Corrupt, InputError."""
        folders.verify(place.uri)
        card = folders.read_card(place.uri)
        if card.model_id != str(name):
            raise Corrupt(f"{place.uri} holds the card of {card.model_id}", "give the folder its own name")
        _, digest = folders.read_manifest(place.uri)
        self.registry.add_candidate(name.pipeline, place.uri, card, digest)

    def _point(self, pipeline: str) -> bool:
        """Let the pointer name the champion; returns whether it had to change.

        Reads the champion again after writing: of two processes the one that writes last sees the newest.
        """
        changed = False
        while (champion := self.registry.champion(pipeline)) is not None:
            plain = {
                "format": 1,
                "pipeline": pipeline,
                "model_id": champion.model_id,
                "folder": champion.folder.rstrip("/").rsplit("/", 1)[-1],
                "manifest": champion.manifest,
            }
            wanted = (json.dumps(plain, indent=2) + "\n").encode()
            place = self._root.within(pipeline)
            if place.exists(POINTER) and place.read(POINTER) == wanted:
                break
            place.write(POINTER, wanted)
            changed = True
            self._reached("pointer replaced")
        return changed

    def _place(self, name: ModelId) -> Place:
        return self._root.within(name.pipeline, str(name))


def read_pointer(releases_uri: str, pipeline: str) -> Pointer | None:
    """Read which model a consumer should use; None before the first release. Raises Corrupt."""
    place = Place.of(releases_uri).within(pipeline)
    if not place.exists(POINTER):
        return None
    try:
        plain = json.loads(place.read(POINTER))
        if plain["format"] != 1:
            raise Corrupt(f"{place.uri}/{POINTER} has a format of a later release", "install a later release")
        return Pointer(plain["pipeline"], plain["model_id"], plain["folder"], plain["manifest"])
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{place.uri}/{POINTER} cannot be read: {error}", "promote the champion again") from error
