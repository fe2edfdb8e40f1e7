"""The inner site, wired: set 1, its stream, and what sends it through the gate."""

from __future__ import annotations

import getpass
import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from isthmus.app.clock import SystemClock
from isthmus.app.galleries.config import GalleryConfig, GalleryPart, GatePart, read_gallery_config
from isthmus.core.errors import InputError
from isthmus.core.ports import Clock
from isthmus.gallery.feed import Feed
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.piece import DATABASE, shelved
from isthmus.gallery.publishing import Publishing
from isthmus.gallery.source import OplogSource
from isthmus.gallery.store.log import Retention
from isthmus.gallery.store.sqlite import SqliteSet, image_check
from isthmus.state.audit import Audit
from isthmus.state.lock import patiently
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate
from isthmus.transfer.outbound import Outbound, OutboundSettings
from isthmus.transfer.signing import SigningKey

_TIDY_S = 3_600.0


def namespaces_of(part: GalleryPart) -> Namespaces:
    """Return the rules for foreign entries. None of them may write to the shelves of models."""
    pairs = (pair.partition("=") for pair in part.rename)
    return Namespaces(part.allow, (*part.deny, f"{DATABASE}.*"), {old: new for old, _, new in pairs})


class Inner:
    """The parts of an inner site, made when they are first used. Belongs to the thread that made it."""

    def __init__(self, config: GalleryConfig, clock: Clock | None = None) -> None:
        self.config, self.clock = config, clock or SystemClock()
        self.part: GalleryPart = config.need("gallery")
        if self.part.role != "inner":
            raise InputError(
                f"{config.path} is an {self.part.role} site: its set follows another one",
                "change galleries at the inner site; they cross the gate by themselves",
            )

    @classmethod
    def open(cls, path: Path) -> Inner:
        """Open the site whose TOML is at `path`."""
        return cls(read_gallery_config(path))

    def name(self, gallery: str) -> str:
        """Return a gallery's namespace: a bare name belongs to the site's database.

        Raises InputError for the shelf of a model, which is no gallery of images.
        """
        name = self.part.namespace(gallery)
        if (model := shelved(name)) is not None:
            raise InputError(f"{name} holds the model {model}", "see isthmus model --help")
        return name

    @cached_property
    def store(self) -> Store:
        """The site's SQLite file."""
        return Store(self.config.state_folder / "isthmus.sqlite")

    @cached_property
    def audit(self) -> Audit:
        """The site's audit log."""
        return Audit(self.store, self.clock)

    @cached_property
    def set(self) -> SqliteSet:
        """Set 1."""
        return SqliteSet(self.store, self.config.state_folder / "images", self.part.stream, check=False)

    @cached_property
    def site(self) -> InnerSite:
        """Set 1 as a person changes it."""
        return InnerSite(self.set, self.clock, getpass.getuser(), self.audit, image_check(self.part.limits))

    @cached_property
    def publishing(self) -> Publishing:
        """What publishes models into set 1."""
        return Publishing(self.set, self.site, self.clock, getpass.getuser(), self.audit)

    @cached_property
    def source(self) -> OplogSource:
        """The stream of set 1."""
        return OplogSource(self.set)

    def feed(self, source: str) -> Feed:
        """Return what takes a foreign oplog in; `source` names it, so that it is resumed."""
        return Feed(self.set, namespaces_of(self.part), self.clock, source)

    @cached_property
    def outbound(self) -> Outbound:
        """What sends the stream through the gate. Raises InputError where the key is not there."""
        gate: GatePart = self.config.need("gate")
        if not gate.key:
            raise InputError(f"{self.config.path}: [gate] names no key", 'add key = "keys/gate.pem"')
        if not Path(gate.key).exists():
            raise InputError(f"there is no signing key in {gate.key}", "make one: isthmus gate keys")
        return Outbound(
            self.store,
            self.config.state_folder / "outbox",
            self.source,
            Gate(Path(gate.folder)),
            SigningKey.load(Path(gate.key)),
            self.config.site.name,
            self.clock,
            OutboundSettings(
                format=gate.format,
                cut_bytes=max(1, int(gate.cut_mb * 1e6)),
                cut_s=gate.cut_s,
                carousel_files=min(gate.carousel_files, gate.keep_files),
                carousel_s=gate.carousel_s,
                heartbeat_s=gate.heartbeat_s,
                snapshot_s=gate.snapshot_s,
                keep_files=gate.keep_files,
                keep_s=gate.keep_days * 86_400,
            ),
        )

    def tidy(self) -> int:
        """Forget what is kept no longer, images of removed records above all; returns how many files went."""
        return self.site.tidy(
            Retention(age_s=self.part.log_days * 86_400, removed_s=self.part.removed_hours * 3_600)
        )

    def sending(self, watch: bool, wait: Callable[[float], None] = time.sleep) -> Iterator[str]:
        """Send what is due and yield what was done; with `watch` until somebody interrupts.

        A watch waits for a person's resend or snapshot, and goes on. The log is tidied after the first round, and
        every hour.
        """
        gate: GatePart = self.config.need("gate")
        tidied = -math.inf
        while True:
            yield from patiently(self.outbound.step) if watch else self.outbound.step()
            if time.monotonic() - tidied > _TIDY_S:
                if removed := self.tidy():
                    yield f"removed {removed} image files that nothing uses any more"
                tidied = time.monotonic()
            if not watch:
                return
            wait(gate.poll_s)
