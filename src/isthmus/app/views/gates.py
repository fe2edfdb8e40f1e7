"""Where a gallery's stream stands at its gate: what was sent, what came, is missing, or was set aside."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from isthmus.app.views.galleryopening import config_of, held_set, needing, state_file
from isthmus.app.views.galleryshapes import Standing
from isthmus.core.errors import InputError

if TYPE_CHECKING:
    from isthmus.app.galleries.config import GalleryConfig
    from isthmus.state.store import Store
    from isthmus.transfer.alarm import Alarm
    from isthmus.transfer.standing import InboundStatus, OutboundStatus


@dataclass(frozen=True, slots=True)
class AlarmShown:
    """Something that a person has to know, and what to do. `about` names the file, where it is about one."""

    kind: str
    what: str
    hint: str
    since: datetime | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class StagedShown:
    """A verified bundle that waits for what comes before it; `size` in bytes."""

    file: str
    kind: str
    since: Standing | None
    until: Standing | None
    size: int


@dataclass(frozen=True, slots=True)
class MissingShown:
    """A stretch (since, until] of an epoch that has not come."""

    epoch: int
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class AsideShown:
    """A bundle in the quarantine. `healed`: an authentic one came since, or it is needed no more."""

    file: str
    kind: str
    why: str
    at: datetime
    size: int
    times: int
    healed: bool
    digest: str


@dataclass(frozen=True, slots=True)
class ChangeAside:
    """A change that could not be applied."""

    number: int
    at: str
    gallery: str
    why: str


@dataclass(frozen=True, slots=True)
class ImageAside:
    """A record whose image was refused: no device gets it."""

    gallery: str
    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """All that was set aside, by what it is."""

    files: tuple[AsideShown, ...] = ()
    changes: tuple[ChangeAside, ...] = ()
    images: tuple[ImageAside, ...] = ()


@dataclass(frozen=True, slots=True)
class Receiving:
    """The receiver's side. `lag` counts changes behind; `request` is the line to carry back, empty for none."""

    stream: str
    standing: Standing | None
    latest: Standing | None
    lag: int
    heard: datetime | None
    staged: tuple[StagedShown, ...]
    growing: tuple[str, ...]
    missing: tuple[MissingShown, ...]
    snapshot_needed: bool
    quarantined: int
    counts: Mapping[str, int]
    content: Mapping[str, int]
    request: str


@dataclass(frozen=True, slots=True)
class Sending:
    """The sender's side. `waiting` counts changes that are not sent yet, `kept` files that can be sent again."""

    stream: str
    head: Standing | None
    position: Standing | None
    waiting: int
    kept: int
    unfinished: tuple[str, ...]
    carousel: datetime | None
    heartbeat: datetime | None
    snapshot: datetime | None


@dataclass(frozen=True, slots=True)
class GateShown:
    """A site's gate. `problem` says why nothing is known of it, such as a key that is not there."""

    side: Literal["sending", "receiving"]
    form: str
    sending: Sending | None = None
    receiving: Receiving | None = None
    alarms: tuple[AlarmShown, ...] = field(default=())
    problem: str = ""


def gate(path: Path) -> GateShown | None:
    """Tell where the gate of a site stands; None where it has none. Raises ConfigError, Busy, Corrupt."""
    with needing():
        config = config_of(path)
        part = config.gallery
        if part is None or config.gate is None:
            return None
        if part.role == "inner":
            return _sending(config)
        return _receiving(config)


def quarantine(path: Path, most: int = 200) -> Quarantine:
    """List what was set aside: bundles, changes, images, `most` of each. Raises ConfigError, Busy, Corrupt."""
    with needing():
        from isthmus.app.galleries.outer import refused_images

        config = config_of(path)
        if config.gallery is None:
            return Quarantine()
        files: tuple[AsideShown, ...] = ()
        if config.gallery.role == "outer" and config.gate is not None:
            files = _files_aside(config)[:most]
        with held_set(config) as held:
            if held is None:
                return Quarantine(files)
            changes = tuple(
                ChangeAside(row["number"], str(row["at"]), row["ns"], row["reason"])
                for row in held.quarantined(0, most)
            )
            images = tuple(itertools.starmap(ImageAside, refused_images(held, most)))
        return Quarantine(files, changes, images)


def _sending(config: GalleryConfig) -> GateShown:
    from isthmus.app.galleries.inner import Inner

    assert config.gate is not None
    site = Inner(config)
    try:
        now = site.outbound.status()
    except InputError as error:
        return GateShown("sending", config.gate.format, problem=str(error))
    finally:
        if "set" in site.__dict__:
            site.set.close()
        if "store" in site.__dict__:
            site.store.close()
    return GateShown("sending", config.gate.format, sending_shown(now), alarms=tuple(map(alarm_shown, now.alarms)))


def _receiving(config: GalleryConfig) -> GateShown:
    assert config.gate is not None
    form = config.gate.format
    try:
        with _inbound_of(config) as (now, request):
            shown = receiving_shown(now, request)
    except InputError as error:
        return GateShown("receiving", form, problem=str(error))
    alarms = [alarm_shown(one) for one in now.alarms]
    if config.sync is not None and now.lag > config.sync.lag_alarm:
        alarms.append(AlarmShown("LAG", f"{now.lag} changes behind the sender", "see what is missing"))
    return GateShown("receiving", form, receiving=shown, alarms=tuple(alarms))


@contextlib.contextmanager
def _inbound_of(config: GalleryConfig) -> Iterator[tuple[InboundStatus, str]]:
    from isthmus.app.galleries.outer import Outer

    with contextlib.closing(Outer(config)) as outer:
        yield outer.inbound.status(), outer.inbound.request()


def _files_aside(config: GalleryConfig) -> tuple[AsideShown, ...]:
    from isthmus.state.store import Store

    if config.gallery is None or not state_file(config).exists():
        return ()
    with Store(state_file(config)) as store:
        return files_aside(store, config.gallery.stream)


def files_aside(store: Store, stream: str) -> tuple[AsideShown, ...]:
    """List the bundles of a stream that were set aside, newest first."""
    from isthmus.transfer.journal import Journal

    return tuple(
        AsideShown(one.unit, one.kind, one.why, one.at, one.size, one.times, one.healed, one.digest)
        for one in reversed(Journal(store, stream).set_aside())
    )


def alarm_shown(one: Alarm) -> AlarmShown:
    """Show an alarm of a gate."""
    return AlarmShown(one.kind.name, one.what, one.hint, one.since, one.about)


def sending_shown(now: OutboundStatus) -> Sending:
    """Show how far a sender is."""
    return Sending(
        now.stream,
        Standing.of(now.head),
        Standing.of(now.position),
        now.waiting,
        len(now.kept),
        now.unfinished,
        now.carousel,
        now.heartbeat,
        now.snapshot,
    )


def receiving_shown(now: InboundStatus, request: str) -> Receiving:
    """Show how far a receiver is. `request` is the line that asks for what is missing."""
    return Receiving(
        now.stream,
        Standing.of(now.standing),
        Standing.of(now.latest),
        now.lag,
        now.heard,
        tuple(
            StagedShown(one.file, one.kind, Standing.of(one.since), Standing.of(one.until), one.size)
            for one in now.staged
        ),
        now.growing,
        tuple(MissingShown(one.epoch, one.since, one.until) for one in now.missing),
        now.snapshot_needed,
        len(now.quarantined),
        dict(now.counts),
        dict(now.content),
        request,
    )


__all__ = [
    "AlarmShown", "AsideShown", "ChangeAside", "GateShown", "ImageAside", "MissingShown", "Quarantine",
    "Receiving", "Sending", "StagedShown", "alarm_shown", "files_aside", "gate", "quarantine", "receiving_shown",
    "sending_shown",
]  # fmt: skip
