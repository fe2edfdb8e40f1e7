"""What an operator decides about filing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from isthmus.acquire.filing.naming import TEMPLATE, Naming
from isthmus.core.errors import InputError
from isthmus.core.settings import setting
from isthmus.imaging.anatomy import ImageLimits


@dataclass(frozen=True, slots=True)
class FilingRules:
    """Where images go, what they may be, and with what the workers get by."""

    root: str = setting("the folder of all images", default="images", path=True)
    template: str = setting(
        "how an image's path is made; it begins with {root}/, holds {record-id} and {digest12}, ends with .{ext}",
        default=TEMPLATE,
    )
    workers: int = setting(
        "processes that check and store, at most: one starts, others where it has more than it can do; "
        "0: as many as there are processors, three at most",
        default=0,
        minimum=0,
        maximum=64,
    )
    drawers: int = setting("processes that draw thumbnails, started when needed", default=1, minimum=1, maximum=16)
    remove_metadata: bool = setting(
        "store pictures without EXIF, XMP, texts and previews; the rows keep what was read", default=False
    )
    zone: str = setting("the time zone of cameras that do not tell theirs, as Europe/Berlin", default="UTC")
    zones: Mapping[str, str] = setting("the same by environment", factory=dict)
    modified_is_taken: bool = setting(
        "where nobody knows when a picture was taken, take the storage server's time of last change", default=True
    )
    image_mb: float = setting(
        "the most that an image may have", default=20.0, minimum=0.001, maximum=20, unit="MB"
    )
    megapixels: float = setting("the most pixels that an image may have, in millions", default=50.0, minimum=0.01)
    scans: int = setting("the most scans of a progressive JPEG", default=64, minimum=1, maximum=100)
    aspect: float = setting("how many times as long as high a picture may be", default=20.0, minimum=1)
    memory_mb: int = setting("the address space of a worker", default=2048, minimum=512, unit="MB")
    patience_s: float = setting(
        "after so long without an answer a worker is ended", default=60.0, minimum=1, unit="s"
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a template or a zone that cannot be used."""
        try:
            Naming(self.template)
        except InputError as error:
            raise ValueError(str(error)) from error
        for name in (self.zone, *self.zones.values()):
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"there is no time zone {name!r}") from error

    @property
    def limits(self) -> ImageLimits:
        """What the decoder takes."""
        return ImageLimits(
            most_bytes=int(self.image_mb * 1024 * 1024),
            most_pixels=int(self.megapixels * 1e6),
            most_scans=self.scans,
            most_aspect=self.aspect,
        )

    @property
    def most_workers(self) -> int:
        """Processes that check and store, at most. One server keeps no more than three of them busy."""
        return self.workers or min(3, len(os.sched_getaffinity(0)))

    @property
    def folder(self) -> Path:
        """The root as a path."""
        return Path(self.root)
