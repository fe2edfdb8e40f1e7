"""What there is to see of devices. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class DeviceGallery(msgspec.Struct, frozen=True, kw_only=True):
    """What a device gets of a gallery and how far it is."""

    gallery: str
    mode: str
    change: int | None = None
    at: str | None = None
    behind: int | None = None


class DeviceShown(msgspec.Struct, frozen=True, kw_only=True):
    """A device. `seen` is when it last came to synchronise."""

    name: str
    state: str
    tags: Sequence[str]
    fingerprint: str
    invited: str
    enrolled: str | None
    seen: str | None
    galleries: Sequence[DeviceGallery] = ()


class HeldShown(msgspec.Struct, frozen=True, kw_only=True):
    """A version as a device has it.

    `refused` ones are passed over, for a reason in the device's words: `why`.
    """

    model: str
    version: str
    state: Literal["active", "earlier", "refused"]
    why: str
    size: int
    digest: str
    since: str | None


class SeesDevices(Sees):
    """Calls of devices, for the blocking client."""

    def devices(self, *, site: str | None = None) -> Iterator[DeviceShown]:
        """List devices, what they get and how far each is. Raises ApiError."""
        return self._site.pages("/v1/devices", DeviceShown, site=site)

    def devices_models(self, *, site: str | None = None) -> Iterator[HeldShown]:
        """List what a device holds of models, and what it uses. Raises ApiError."""
        return self._site.pages("/v1/devices/models", HeldShown, site=site)


class AsyncSeesDevices(AsyncSees):
    """Calls of devices, for asyncio."""

    def devices(self, *, site: str | None = None) -> AsyncIterator[DeviceShown]:
        """List devices, what they get and how far each is. Raises ApiError."""
        return self._site.pages("/v1/devices", DeviceShown, site=site)

    def devices_models(self, *, site: str | None = None) -> AsyncIterator[HeldShown]:
        """List what a device holds of models, and what it uses. Raises ApiError."""
        return self._site.pages("/v1/devices/models", HeldShown, site=site)
