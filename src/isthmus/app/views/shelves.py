"""Published models: what is published, whether it is whole here and has crossed, and what devices make of it.

A model travels as the records of a gallery, its shelf (`gallery.piece`). What is told here comes from catalogues
and from which pieces are there; that their bytes are right is proven by `isthmus model list`, and by each device
before it uses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from isthmus.app.views.galleryopening import config_of, held_set, needing, portable_of
from isthmus.core.errors import Corrupt, InputError, IsthmusError
from isthmus.gallery.piece import shelved

if TYPE_CHECKING:
    from isthmus.app.galleries.config import GalleryConfig
    from isthmus.app.galleries.outer import AnySet
    from isthmus.core.position import Position
    from isthmus.gallery.publication import Catalogue, Published

Crossed = Literal["", "sent", "waiting"]
"""Whether the gate was given a catalogue: empty where that is not known, as at a site that receives."""


@dataclass(frozen=True, slots=True)
class VersionShown:
    """A published version. `counts`: it is the one that devices use; `missing` counts pieces that are not here.

    `vectors`: galleries' vectors can be made by it. `size` in bytes, `digest` as 64 hexadecimal digits.
    """

    model: str
    version: str
    counts: bool
    size: int
    digest: str
    files: int
    missing: int
    by: str
    at: datetime | None
    note: str
    vectors: bool
    metrics: Mapping[str, float | None]
    lineage: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WithdrawnShown:
    """A version that nobody is to use any more, and why."""

    version: str
    why: str
    by: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class ShelfShown:
    """One model of an inner or outer site, the version that counts first. `problem`: why it cannot be read."""

    model: str
    versions: tuple[VersionShown, ...] = ()
    withdrawn: tuple[WithdrawnShown, ...] = ()
    crossed: Crossed = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HeldShown:
    """A version as a device has it. `refused` ones are passed over, for a reason in the device's words: `why`."""

    model: str
    version: str
    state: Literal["active", "earlier", "refused"]
    why: str
    size: int
    digest: str
    since: datetime | None


def shelves(path: Path) -> tuple[ShelfShown, ...]:
    """List the models that an inner or an outer site holds, by name; empty for a device.

    Raises ConfigError, Busy, Corrupt.
    """
    with needing():
        from isthmus.gallery.shelves import Shelves

        config = config_of(path)
        if config.gallery is None:
            return ()
        with held_set(config) as held:
            if held is None:
                return ()
            reading = Shelves(held)
            names = reading.names()
            head = _head(config) if names else None
            found = []
            for name in names:
                try:
                    catalogue = reading.catalogue(name)
                except (Corrupt, InputError) as error:
                    found.append(ShelfShown(name, problem=str(error)))
                    continue
                crossed = _crossed(held, reading.catalogue_digest(name), head)
                found.append(_shelf(catalogue, held, crossed))
    return tuple(found)


def held(path: Path) -> tuple[HeldShown, ...]:
    """List what a device holds of published models; empty for another site.

    Raises ConfigError, Busy, Corrupt, Refused where its store is sealed by another key.
    """
    with needing():
        config = config_of(path)
        if config.gallery is not None or config.device is None:
            return ()
        with portable_of(config) as portable:
            if portable is None:
                return ()
            return tuple(
                HeldShown(
                    one.name,
                    one.published.version,
                    one.state if one.state in ("active", "earlier") else "refused",  # type: ignore[arg-type]
                    "" if one.state in ("active", "earlier") else one.state,
                    one.published.size,
                    one.published.digest,
                    _moment(one.at),
                )
                for one in portable.site.models.versions()
            )


def held_by_name(paths: Iterable[Path]) -> dict[str, tuple[HeldShown, ...]]:
    """Tell of the devices whose sites are shown beside what they hold, by the names that they are enrolled by.

    A device that cannot be looked at is left out: its own page says why.
    """
    found = {}
    for path in paths:
        try:
            config = config_of(path)
            if config.device is None:
                continue
            with needing(), portable_of(config) as portable:
                name = portable.site.enrolled().device if portable is not None else ""
            if name:
                found[name] = held(path)
        except IsthmusError:
            continue
    return found


def model_of(gallery: str) -> str:
    """Return the model that a gallery is the shelf of; empty for a gallery of images."""
    return shelved(gallery) or ""


def _shelf(catalogue: Catalogue, held: AnySet, crossed: Crossed) -> ShelfShown:
    versions = tuple(_version(catalogue, one, held) for one in reversed(catalogue.versions))
    withdrawn = tuple(
        WithdrawnShown(one.version, one.why, one.by, _moment(one.at)) for one in reversed(catalogue.withdrawn)
    )
    return ShelfShown(catalogue.name, versions, withdrawn, crossed)


def _version(catalogue: Catalogue, one: Published, held: AnySet) -> VersionShown:
    return VersionShown(
        catalogue.name,
        one.version,
        one is catalogue.latest,
        one.size,
        one.digest,
        len(one.files),
        sum(not _there(held, piece) for piece in one.pieces),
        one.by,
        _moment(one.at),
        one.note,
        one.sight is not None,
        dict(one.metrics),
        dict(one.lineage),
    )


def _there(held: AnySet, piece: bytes) -> bool:
    """Tell whether a piece is there; whether it is whole is not looked at."""
    image = held.image(piece)
    return image is not None and image.there()


def _head(config: GalleryConfig) -> Position | None:
    """Return up to where an inner site has sent its stream; None where it sends none, or nothing yet."""
    if config.gallery is None or config.gallery.role != "inner" or config.gate is None:
        return None
    from isthmus.state.store import Store
    from isthmus.transfer.ledger import Ledger

    with Store(config.state_folder / "isthmus.sqlite") as store:
        return Ledger(store, config.gallery.stream).head().head


def _crossed(held: AnySet, digest: bytes, head: Position | None) -> Crossed:
    """Tell whether the change that brought a catalogue was sent."""
    position = held.position()
    if head is None or position is None or not digest:
        return ""
    if head.epoch < position.epoch:
        return "waiting"
    return "sent" if head.seq >= _entry(held, digest) else "waiting"


def _entry(held: AnySet, digest: bytes) -> int:
    """Return the number of the change that brought a content; 0 where that is forgotten, so long ago it was."""
    from isthmus.gallery.store.sqlite import SqliteSet

    if not isinstance(held, SqliteSet):
        return 0
    rows: Sequence[Mapping[str, int]] = held.store.rows(
        "SELECT coalesce(max(entry_image.seq), 0) AS seq FROM entry_image"
        " JOIN stream_set ON stream_set.id = entry_image.stream_set WHERE image = ? AND stream = ?",
        (digest, held.stream),
    )  # type: ignore[assignment]
    return rows[0]["seq"]


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


__all__ = [
    "Crossed", "HeldShown", "ShelfShown", "VersionShown", "WithdrawnShown", "held", "held_by_name", "model_of",
    "shelves",
]  # fmt: skip
