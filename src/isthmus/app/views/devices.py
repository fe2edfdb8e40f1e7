"""The devices of a sync server: who they are, what they get, and how far each is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.app.views.galleryopening import config_of, needing, state_file

if TYPE_CHECKING:
    from isthmus.gallery.registry import Device, Devices, Rule


@dataclass(frozen=True, slots=True)
class DeviceGallery:
    """What a device gets of a gallery and how far it is.

    `change` is the change at which it stood, `at` when it had come there; none where it never did. `behind` counts
    the changes since; none where that is not known, as after the gallery began anew.
    """

    gallery: str
    mode: str
    change: int | None = None
    at: datetime | None = None
    behind: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceShown:
    """A device. `seen` is when it last came to synchronise."""

    name: str
    state: str
    tags: tuple[str, ...]
    fingerprint: str
    invited: datetime
    enrolled: datetime | None
    seen: datetime | None
    galleries: tuple[DeviceGallery, ...] = ()

    @property
    def behind(self) -> int | None:
        """How many changes it is behind in all; none where that is not known of any gallery."""
        known = [one.behind for one in self.galleries]
        return None if not known or None in known else sum(one or 0 for one in known)


@dataclass(frozen=True, slots=True)
class GrantShown:
    """Grants galleries, as patterns, to all devices that have all tags."""

    number: int
    tags: tuple[str, ...]
    galleries: tuple[str, ...]
    mode: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some of the devices, the rules, and how many devices there are in each state."""

    devices: tuple[DeviceShown, ...] = ()
    rules: tuple[GrantShown, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()


def fleet(path: Path, after: str = "", most: int = 50) -> Fleet | None:
    """List devices by name, those behind `after`; None where the site serves none.

    Raises ConfigError, Busy, Corrupt.
    """
    return _looked(path, lambda name: name > after, most)


def one(path: Path, name: str) -> DeviceShown | None:
    """Show one device; None where the site does not know it. Raises ConfigError, Busy, Corrupt."""
    found = _looked(path, lambda other: other == name, 1)
    return found.devices[0] if found is not None and found.devices else None


def _looked(path: Path, chosen: Callable[[str], bool], most: int) -> Fleet | None:
    with needing():
        from isthmus.app.galleries.outer import Outer

        config = config_of(path)
        if config.gallery is None or config.gallery.role != "outer":
            return None
        if not state_file(config).exists():
            return Fleet()
        with contextlib.closing(Outer(config)) as outer:
            registry = outer.desk.devices
            changes = {one.gallery: one.changed for one in outer.set.galleries()}
            rules, everyone = registry.rules(), registry.list()
            some = [one for one in everyone if chosen(one.name)][:most]
            shown = tuple(_shown(one, registry, rules, changes) for one in some)
        states: dict[str, int] = {}
        for one in everyone:
            states[one.state.value] = states.get(one.state.value, 0) + 1
        return Fleet(shown, tuple(map(_rule, rules)), tuple(sorted(states.items())))


def _shown(device: Device, registry: Devices, rules: Sequence[Rule], changes: Mapping[str, int]) -> DeviceShown:
    from isthmus.gallery.registry import granted

    reached = {one.gallery: one for one in registry.standing(device.name)}
    galleries = []
    for gallery, mode in granted(device.tags, rules, sorted(changes)).items():
        stood = reached.get(gallery)
        if stood is None:
            galleries.append(DeviceGallery(gallery, mode.value))
            continue
        behind = changes[gallery] - stood.change
        galleries.append(
            DeviceGallery(gallery, mode.value, stood.change, stood.at, behind if behind >= 0 else None)
        )
    return DeviceShown(
        device.name,
        device.state.value,
        tuple(sorted(device.tags)),
        device.key.fingerprint if device.key else "",
        device.invited,
        device.enrolled,
        device.seen,
        tuple(galleries),
    )


def _rule(rule: Rule) -> GrantShown:
    return GrantShown(rule.number, tuple(sorted(rule.tags)), rule.galleries, rule.mode.value)
