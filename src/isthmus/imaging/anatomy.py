"""What the anatomy of an image file tells before any decoder sees it, and the limits that images must keep.

A decoder gets only those parts of a file that make its pixels: metadata, colour profiles, comments, thumbnails and
texts, where hostile content likes to hide, are stepped over by their lengths and never unpacked. What follows the
end of the picture may only be padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isthmus.core.errors import InputError

Format = Literal["jpeg", "png", "webp"]

MOST_PARTS = 65_536
"""So many segments or chunks a file may have: stepping over them takes well under a second."""

_PADDING = b"\0\xff \t\r\n"


class ImageRefused(InputError):
    """An image that is not used, and why: no image of a known format, too large, not whole, or not one picture."""


class BeyondLimits(ImageRefused):
    """An image that may well be whole, but is larger, longer, or something more than one picture."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may be at most. A picture is refused by what its header says, before it is decoded.

    Decoding takes at most about 8 bytes of memory per pixel (progressive JPEG with four colours). A progressive
    JPEG picture usually has ten scans; each further one costs a pass over the whole picture. `most_aspect` is how
    many times as long as the shorter edge the longer one may be; 0: as long as it likes.
    """

    most_bytes: int = 20 * 1024 * 1024
    most_pixels: int = 50_000_000
    most_scans: int = 100
    most_aspect: float = 0

    def hold(self, width: int, height: int) -> None:
        """Raise ImageRefused where a picture of so many pixels is not allowed."""
        if width < 1 or height < 1:
            raise ImageRefused(f"the picture has {width} × {height} pixels")
        if width * height > self.most_pixels:
            raise BeyondLimits(
                f"the picture has {width} × {height} pixels, more than {self.most_pixels / 1e6:g} million",
                "send it smaller",
            )
        if self.most_aspect and max(width, height) > self.most_aspect * min(width, height):
            raise BeyondLimits(
                f"the picture has {width} × {height} pixels, a shape longer than {self.most_aspect:g} to 1"
            )


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A file taken apart: `bare` is a file of the same format with the parts that make pixels alone.

    `width` and `height` are as stored, `orientation` is EXIF's (1 to 8, 1: upright); `channels` as stored. `exif`
    is the EXIF block as it lies in the file, its TIFF header first, or empty; `profile` the parts that tell the
    colours' meaning, as they lie in the file and looked into by nobody.
    """

    format: Format
    width: int
    height: int
    channels: int
    orientation: int
    bare: bytes
    exif: bytes = b""
    profile: bytes = b""

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def only_padding(content: bytes, at: int) -> None:
    """Raise ImageRefused where anything but padding (NUL, 0xFF, blanks, line ends) lies at `at` and after."""
    rest = content[at:].lstrip(_PADDING)
    if rest:
        raise BeyondLimits(
            f"{len(rest)} bytes that are no part of the picture follow its end", "send the picture alone"
        )


def orientation_of(exif: bytes) -> int:
    """Read the orientation from an EXIF block (its TIFF header first); 1 where it does not say or makes no sense.

    Only the first directory is looked through, only for tag 0x0112, and only within the block (EXIF 2.32, 4.6.2).
    """
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    if exif[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    at = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[at : at + 2], order)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        if int.from_bytes(exif[entry : entry + 2], order) == 0x0112:
            value = int.from_bytes(exif[entry + 8 : entry + 10], order)
            return value if 1 <= value <= 8 else 1
    return 1
