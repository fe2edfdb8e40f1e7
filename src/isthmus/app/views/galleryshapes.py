"""What is shown of galleries, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from isthmus.core.position import Position

Part = Literal["inner", "outer", "device"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A position: epoch, number of changes, digest of the content as 64 hexadecimal digits."""

    epoch: int
    seq: int
    digest: str

    @classmethod
    def of(cls, position: Position | None) -> Standing | None:
        """Write a position."""
        return None if position is None else cls(position.epoch, position.seq, str(position.digest))


@dataclass(frozen=True, slots=True)
class GalleryShown:
    """What one gallery holds. `change` numbers its latest change in this site's own count.

    The last five are a device's: what of the records it gets, by which model, whether its content was proven to be
    the server's when it synchronised last, and when that was.
    """

    gallery: str
    records: int
    change: int
    image_bytes: int | None = None
    refused: int = 0
    vectors: int | None = None
    mode: str = ""
    model: str = ""
    verified: bool | None = None
    synced: datetime | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """All galleries of a site. A device has no position; `enrolled` is its name and `server` where it goes."""

    site: str
    role: Part
    stream: str = ""
    extractor: str = ""
    gated: bool = False
    serves_devices: bool = False
    position: Standing | None = None
    galleries: tuple[GalleryShown, ...] = ()
    enrolled: str = ""
    server: str = ""

    @property
    def records(self) -> int:
        """How many records there are in all."""
        return sum(one.records for one in self.galleries)


@dataclass(frozen=True, slots=True)
class Reference:
    """One record. `image` is the BLAKE3 of its image in hexadecimal digits, empty where it has none.

    `id` is a text; `typed` tells an id of another BSON type, which the command line cannot name. `refused` says
    why no device gets it. `key` is opaque: it names the record in lists.
    """

    gallery: str
    id: str
    typed: bool
    image: str
    size: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    model: str = ""
    changed: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the audit log."""

    number: int
    at: datetime
    who: str
    act: str
    gallery: str
    subject: str
    detail: str
