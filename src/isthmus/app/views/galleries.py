"""What a site knows of galleries: what it holds, record by record, its images, and who did what.

Inner sites, outer ones and devices alike. Files are opened as the command line's own lists open them and closed at
the end of each view; a site that has not begun yet is shown as empty, and nothing is made for it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.app.views.galleryopening import config_of, held_set, needing, state_file
from isthmus.app.views.galleryshapes import Act, GalleryShown, Holding, Reference, Standing
from isthmus.app.views.portables import held_there, image_there, record_there, records_there
from isthmus.app.views.records import known, shown
from isthmus.core.errors import Corrupt, InputError
from isthmus.gallery.piece import shelved

if TYPE_CHECKING:
    from isthmus.app.galleries.outer import AnySet
    from isthmus.gallery.record import Record


def holding(path: Path) -> Holding | None:
    """Tell what a site holds; None where its TOML speaks of no gallery.

    Raises ConfigError, Busy, Corrupt, Refused where a device's store is sealed by another key.
    """
    with needing():
        config = config_of(path)
        if config.gallery is None and config.device is None:
            return None
        if config.gallery is None:
            return held_there(config)
        part = config.gallery
        told = Holding(
            config.site.name,
            part.role,
            part.stream,
            part.extractor or part.model,
            config.gate is not None,
            config.sync is not None,
        )
        with held_set(config) as held:
            if held is None:
                return told
            galleries = tuple(
                GalleryShown(one.gallery, one.records, one.changed, one.image_bytes, one.refused, one.vectors)
                for one in held.galleries()
                if shelved(one.gallery) is None  # a model's pieces are no pictures to look at
            )
            position = Standing.of(held.position())
        return Holding(
            told.site, told.role, told.stream, told.extractor, told.gated, told.serves_devices, position, galleries
        )


def references(path: Path, gallery: str, after: str = "", most: int = 50) -> list[Reference]:
    """List records of a gallery behind the one whose `key` is `after`.

    Raises UnknownName for a gallery that is not held, InputError for a key that is none.
    """
    with needing():
        config = config_of(path)
        try:
            behind = bytes.fromhex(after)
        except ValueError as error:
            raise InputError("that is no place in the list", "begin at the start of it") from error
        if config.gallery is None and config.device is not None:
            return records_there(config, gallery, behind, most)
        with held_set(config) as held:
            known(gallery, [one.gallery for one in held.galleries()] if held is not None else [])
            assert held is not None
            found = itertools.islice(held.records(gallery, behind), most)
            return [shown(record, held.document(gallery, record.key)) for record in found]


def reference(path: Path, gallery: str, id: str) -> Reference | None:
    """Find one record by its id, a text; None where there is none. Raises UnknownName for the gallery."""
    with needing():
        from isthmus.gallery.store.codec import key_of

        config = config_of(path)
        if config.gallery is None and config.device is not None:
            return record_there(config, gallery, id)
        with held_set(config) as held:
            known(gallery, [one.gallery for one in held.galleries()] if held is not None else [])
            assert held is not None
            key = key_of(id)
            document = held.document(gallery, key)
            if document is None:
                return None
            for record in _from(held, gallery, key):
                return shown(record, document)
            return None


def reference_image(path: Path, digest: str) -> bytes | None:
    """Return the bytes of an image that a record has, proven by its BLAKE3; None where none has it.

    They are as hostile as whoever made them: draw them by `pictures.small`. What was refused is not given.
    """
    with needing():
        config = config_of(path)
        try:
            wanted = bytes.fromhex(digest)
        except ValueError:
            return None
        if len(wanted) != 32:
            return None
        if config.gallery is None and config.device is not None:
            return image_there(config, wanted)
        with held_set(config) as held:
            if held is None or held.image(wanted) is None:
                return None
            try:
                return held.files.read(wanted)
            except Corrupt:
                return b""  # damaged: shown by the placeholder, told by the sync server's alarm


def acts(path: Path, before: int | None = None, most: int = 50) -> list[Act]:
    """Return the latest acts of the audit log, newest first; those of smaller numbers than `before`."""
    with needing():
        from isthmus.app.clock import SystemClock
        from isthmus.app.galleries.outer import Outer
        from isthmus.state.audit import Audit
        from isthmus.state.store import Store

        config = config_of(path)
        if config.gallery is None or not state_file(config).exists():
            return []
        if config.gallery.role == "outer":
            with contextlib.closing(Outer(config)) as outer:
                found = outer.desk.gathered().latest(before, most)
        else:
            with Store(state_file(config)) as store:
                found = Audit(store, SystemClock()).latest(before, most)
        return [Act(one.number, one.at, one.who, one.act, one.gallery, one.subject, one.detail) for one in found]


def _from(held: AnySet, gallery: str, key: bytes) -> Iterator[Record]:
    """Yield the record of a key."""
    before = key[:-1]  # sorts right before the key, and is the key of nothing
    for record in held.records(gallery, before):
        if record.key >= key:
            if record.key == key:
                yield record
            return
