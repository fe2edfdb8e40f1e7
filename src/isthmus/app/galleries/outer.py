"""The outer site, wired: set 2, what receives the stream from the gate, and what makes vectors of its images."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson

from isthmus.app.clock import SystemClock
from isthmus.app.galleries.config import GalleryConfig, GalleryPart, GatePart, read_gallery_config
from isthmus.app.galleries.desk import FILE, Desk
from isthmus.app.galleries.inner import Inner, namespaces_of
from isthmus.app.galleries.makers import Installed, Maker, Published
from isthmus.app.galleries.secrets import server_uri
from isthmus.core.errors import Busy, Corrupt, InputError
from isthmus.core.header import Header
from isthmus.core.ports import Applied, Clock
from isthmus.gallery.feed import Feed
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.mongo import MongoSet
from isthmus.gallery.store.mongochange import MongoChange
from isthmus.gallery.store.sqlite import Bounds, SqliteSet, image_check
from isthmus.gallery.sync.epochs import Epochs, Identity
from isthmus.gallery.target import SetTarget
from isthmus.gallery.thresholds import Thresholds
from isthmus.state.audit import Audit
from isthmus.state.lock import patiently
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate
from isthmus.transfer.inbound import Inbound, InboundSettings
from isthmus.transfer.limits import STANDARD
from isthmus.transfer.signing import PublicKey
from isthmus.transfer.standing import Event

if TYPE_CHECKING:
    from isthmus.imaging.port import Extractor, Model

VECTORS_AT_ONCE = 16

AnySet = SqliteSet | MongoSet
"""Where a set may lie: embedded, or in a MongoDB that other software reads too."""


class Outer:
    """The parts of an outer site, made when they are first used. Belongs to the thread that made it."""

    def __init__(self, config: GalleryConfig, clock: Clock | None = None) -> None:
        self.config, self.clock = config, clock or SystemClock()
        self.part: GalleryPart = config.need("gallery")
        if self.part.role != "outer":
            raise InputError(
                f"{config.path} is an {self.part.role} site: it sends, and receives nothing",
                'set role = "outer" in [gallery] of the site behind the gate',
            )
        self._damaged: dict[bytes, Corrupt] = {}

    @classmethod
    def open(cls, path: Path) -> Outer:
        """Open the site whose TOML is at `path`."""
        return cls(read_gallery_config(path))

    @cached_property
    def store(self) -> Store:
        """The SQLite file of set 2 and of what receives it: held for seconds while a bundle is applied."""
        return Store(self.config.state_folder / "isthmus.sqlite")

    @cached_property
    def desk(self) -> Desk:
        """The SQLite file of devices, rules, epochs and the audit log: nobody holds it for long."""
        return Desk(self.config.state_folder / FILE, self.clock, self.store, lambda: self.identity)

    @property
    def audit(self) -> Audit:
        """The site's audit log."""
        return self.desk.audit

    @property
    def identity(self) -> Identity:
        """What tells a gallery's epoch of one in a set that was built anew; a MongoDB has no such mark."""
        held = self.set
        return held.identity if isinstance(held, SqliteSet) else lambda gallery: b""

    @cached_property
    def epochs(self) -> Epochs:
        """The galleries' epochs."""
        return Epochs(self.desk.store, self.identity)

    @cached_property
    def _with_changes(self) -> Audit:
        """What is noted in the set's own transactions; the log gathers it."""
        return Audit(self.store, self.clock)

    @cached_property
    def set(self) -> AnySet:
        """Set 2."""
        return open_set(self.config, self.store)

    @cached_property
    def maker(self) -> Maker:
        """What makes vectors here: an extractor that is installed, or a model that is published."""
        part = self.part
        return Published(part.model, self.set, self.store) if part.model else Installed(part.extractor)

    @property
    def extractor(self) -> Extractor | None:
        """What makes vectors here; None where the site makes none, or its model is not published yet."""
        return self.maker.extractor()

    def name(self, gallery: str) -> str:
        """Return a gallery's namespace: a bare name belongs to the site's database."""
        return self.part.namespace(gallery)

    def pattern(self, galleries: str) -> str:
        """Return a pattern of namespaces: a bare name belongs to the site's database, a wildcard may mean all."""
        return galleries if set(galleries) & set("*?[") else self.name(galleries)

    @property
    def gated(self) -> bool:
        """Whether set 2 follows a gate; otherwise it is fed with files alone."""
        return self.config.gate is not None

    @cached_property
    def thresholds(self) -> Thresholds:
        """The thresholds that were calibrated here."""
        return Thresholds(self.store)

    def close(self) -> None:
        """Close the set and the files."""
        self.set.close()
        if "desk" in self.__dict__:
            self.desk.close()
        self.store.close()

    def feed(self, source: str) -> Feed:
        """Return what takes a foreign oplog into set 2; `source` names it, so that it is resumed.

        Raises InputError where set 2 follows a gate: two sources would make it equal to neither.
        """
        if self.gated:
            raise InputError(
                f"{self.config.path}: set 2 follows the gate here, so nothing else may change it",
                "feed the file at the inner site; or, where no gate leads here, remove [gate]",
            )
        if not isinstance(self.set, SqliteSet):
            raise InputError(
                "a foreign oplog cannot be fed into a set that lies in MongoDB",
                "remove mongodb_file and mongodb_env from [gallery], or let the server replicate by itself",
            )
        return Feed(self.set, namespaces_of(self.part), self.clock, source)

    @cached_property
    def inbound(self) -> Inbound:
        """What receives the stream. Raises InputError where no key is trusted."""
        gate: GatePart = self.config.need("gate")
        if not gate.trust:
            raise InputError(
                f"{self.config.path}: [gate] trusts nobody", 'add the sender\'s key: trust = ["ed25519:…"]'
            )
        _ = self._with_changes  # its table is there before the first transaction writes into it
        return Inbound(
            self.store,
            self.config.state_folder / "staging",
            SetTarget(self.set, clock=self.clock, note=self._noted),
            Gate(Path(gate.folder)),
            {self.part.stream: frozenset(PublicKey.of_text(text) for text in gate.trust)},
            STANDARD,
            self.clock,
            InboundSettings(
                gap_alarm_s=gate.gap_alarm_s, settle_s=gate.settle_s, silent_s=gate.silent_s, consume=gate.consume
            ),
        )

    def received(self) -> list[Event]:
        """Do one round of receiving."""
        return self.inbound.step()

    def _noted(self, change: Change | MongoChange, header: Header, applied: Applied) -> None:
        """Write an application into the audit log, with it or not at all where both lie in one file."""
        detail = f"{applied.changes} changes, {applied.refused} refused, made {header.made.isoformat()}"
        connection = change.connection if isinstance(change, Change) else None
        subject = f"{header.kind.value} {header.stream} {header.until}"
        self._with_changes.note(
            f"site {header.site}", "apply", subject=subject, detail=detail, connection=connection
        )

    def receiving(self, watch: bool, wait: Callable[[float], None] = time.sleep) -> Iterator[Event]:
        """Receive what is there, and make vectors; with `watch` until somebody interrupts.

        Raises Corrupt for an image whose file is damaged or gone; with `watch` that is told once, and all goes on.
        """
        gate: GatePart = self.config.need("gate")
        damage = ""
        while True:
            yield from patiently(self.received) if watch else self.received()
            try:
                while self.make_vectors():
                    continue
            except Corrupt as error:
                if not watch:
                    raise
                if damage != str(error):
                    yield Event("alarm", "image", str(error))
                damage = str(error)
            else:
                if damage:
                    yield Event("cleared", "image", "all are whole again")
                damage = ""
            if not watch:
                return
            wait(gate.poll_s)

    def erase(self) -> bool:
        """Let what was removed leave SQLite's write-ahead log too, vectors of faces above all.

        False where a reader is in the way just now: it is to be tried again.
        """
        patience = self.store.rows("PRAGMA busy_timeout")[0][0]
        self.store.rows("PRAGMA busy_timeout = 0")
        try:
            return not self.store.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        except Busy:
            return False
        finally:
            self.store.rows(f"PRAGMA busy_timeout = {patience}")

    def model_of(self, gallery: str) -> Model | None:
        """Return the model whose vectors devices get of a gallery, with the gallery's own threshold."""
        told = self.maker.told()
        return None if told is None else self.thresholds.applied(gallery, *told)

    def make_vectors(self, most: int = VECTORS_AT_ONCE) -> int:
        """Make the vectors of some images that have none yet; returns how many images were looked at.

        Raises Corrupt for an image whose file is damaged or gone, once all others were looked at.
        """
        extractor = self.extractor
        if extractor is None:
            self.maker.complete()
            return 0
        model = extractor.model.name
        waiting = self.set.without_vector(model, most + len(self._damaged))
        waiting = [digest for digest in waiting if digest not in self._damaged]
        if not waiting:
            damaged, self._damaged = self._damaged, {}  # looked at again next time: they may have been restored
            self.maker.complete()
            for error in damaged.values():
                raise error
        made = []
        for digest in waiting:
            try:
                made.append((digest, self._vector(extractor, self.set.files.read(digest))))
            except Corrupt as error:
                if self.set.image(digest) is not None:  # else removed since: then it needs no vector
                    self._damaged[digest] = error
        self.set.put_vectors(model, made)
        return len(waiting)

    def _vector(self, extractor: Extractor, image: bytes) -> bytes | None:
        """Return the vector of an image; none where it is beyond the limits, which were others when it came."""
        from isthmus.imaging.decode import ImageRefused, pixels

        try:
            return extractor.extract(pixels(image, self.part.limits))
        except ImageRefused:
            return None


def open_set(config: GalleryConfig, store: Store) -> AnySet:
    """Open the set that a site holds, whatever its role and wherever it lies."""
    part: GalleryPart = config.need("gallery")
    images = config.state_folder / "images"
    outer = part.role == "outer"
    check = image_check(part.limits) if outer else False
    bounds = Bounds(removals=part.tombstones)
    if part.mongodb_file or part.mongodb_env:
        uri = server_uri(part.mongodb_env or None, Path(part.mongodb_file) if part.mongodb_file else None)
        return MongoSet(mongo_client(uri), images, part.stream, check=check, packed=outer, bounds=bounds)
    return SqliteSet(store, images, part.stream, check=check, packed=outer, bounds=bounds)


def mongo_client(uri: str) -> Any:
    """Connect to a MongoDB server. Raises InputError for a URI that is none."""
    import pymongo
    from pymongo.errors import ConfigurationError, InvalidURI

    try:
        return pymongo.MongoClient(uri, serverSelectionTimeoutMS=5_000)
    except (ConfigurationError, InvalidURI) as error:
        raise InputError(f"the connection string of MongoDB is not usable: {error}") from error


@contextlib.contextmanager
def any_set(path: Path) -> Iterator[AnySet]:
    """Lend the set of the site at `path`, whatever its role."""
    config = read_gallery_config(path)
    with Store(config.state_folder / "isthmus.sqlite") as store:
        held = open_set(config, store)
        try:
            yield held
        finally:
            held.close()


def any_audit(path: Path) -> Audit:
    """Open the audit log of the site at `path`, whatever its role, with all that was noted until now."""
    config = read_gallery_config(path)
    part: GalleryPart = config.need("gallery")
    if part.role == "outer":
        return Outer(config).desk.gathered()
    return Audit(Store(config.state_folder / "isthmus.sqlite"), SystemClock())


def refused_images(held: AnySet, most: int) -> Iterator[tuple[str, str, str]]:
    """Tell the gallery, the id and the reason of records whose image was refused: nobody gets them."""
    for gallery, key, why in held.refused(max(0, most)):
        yield gallery, str(bson.decode(key)["_id"]), why


def any_site(path: Path) -> Inner | Outer:
    """Open the site at `path` as what it is."""
    config = read_gallery_config(path)
    part: GalleryPart = config.need("gallery")
    return Inner(config) if part.role == "inner" else Outer(config)
