"""The anatomy of a JPEG file (ITU-T T.81, annex B): markers, segments, scans."""

from __future__ import annotations

import re

from isthmus.imaging import entropy
from isthmus.imaging.anatomy import (
    MOST_PARTS,
    Anatomy,
    BeyondLimits,
    ImageLimits,
    ImageRefused,
    only_padding,
    orientation_of,
)

START = b"\xff\xd8\xff"

_FILL = re.compile(rb"\xff+")
_SCAN, _END = 0xDA, 0xD9
_FRAMES = {0xC0, 0xC1, 0xC2}
_OTHER_FRAMES = set(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = {0xC4, 0xDB, 0xDD}
_JFIF, _REVISION = 0xE0, b"\1\1"
_KEPT_APPLICATION = {_JFIF: b"JFIF\0", 0xEE: b"Adobe"}  # they tell the colour space
_TRUNCATED = "the JPEG file is truncated"


def dissect(content: bytes, limits: ImageLimits) -> Anatomy:
    """Take a JPEG file apart. Raises ImageRefused.

    Baseline and progressive pictures with Huffman coding and 8 bits are taken, which is what cameras and programs
    write. Further pictures after the first, as phones append them, are allowed where a multi-picture segment
    (CIPA DC-007) announces them; they are stepped over and never decoded.
    """
    picture = _Walk(content, 0, limits)
    end = picture.end
    while picture.announces_more and content.startswith(START, at := _skip_padding(content, end)):
        end = _Walk(content, at, limits).end
    only_padding(content, end)
    width, height, channels = picture.frame
    bare, profile = b"".join(picture.kept), b"".join(picture.profile)
    return Anatomy("jpeg", width, height, channels, picture.orientation, bare, picture.exif, profile)


class _Walk:
    """Walks over one picture from its start marker to its end marker."""

    def __init__(self, content: bytes, start: int, limits: ImageLimits) -> None:
        self.content = content
        self.limits = limits
        self.frame = (0, 0, 0)
        self.orientation = 1
        self.announces_more = False
        self.exif = b""
        self.profile: list[bytes] = []
        self.kept: list[bytes | memoryview] = [content[start : start + 2]]
        self.end = self._walk(start + 2)

    def _walk(self, at: int) -> int:
        content, scans = self.content, 0
        for _ in range(MOST_PARTS):
            filled = _FILL.match(content, at)
            if filled is None or filled.end() >= len(content):
                raise ImageRefused(_TRUNCATED if at >= len(content) or filled else "the JPEG file is damaged")
            at = filled.end() + 1
            marker = content[at - 1]
            if marker == _END:
                if not scans:
                    raise ImageRefused("the JPEG file holds no picture")
                self.kept.append(b"\xff\xd9")
                return at
            size = int.from_bytes(content[at : at + 2], "big")
            if size < 2:
                raise ImageRefused("the JPEG file is damaged" if at + 2 <= len(content) else _TRUNCATED)
            if at + size > len(content):
                raise ImageRefused(_TRUNCATED)
            segment = content[at - 2 : at + size]
            self._segment(marker, segment)
            at += size
            if marker == _SCAN:
                scans += 1
                if not self.frame[0]:
                    raise ImageRefused("the JPEG file is damaged: a scan comes before its frame")
                if scans > self.limits.most_scans:
                    raise BeyondLimits(f"the JPEG file has too many scans, more than {self.limits.most_scans}")
                end = entropy.end(content, at)
                if end < 0:
                    raise ImageRefused(_TRUNCATED)
                self.kept.append(memoryview(content)[at:end])  # joined below: copied once
                at = end
        raise BeyondLimits(f"the JPEG file has more than {MOST_PARTS} segments")

    def _segment(self, marker: int, segment: bytes) -> None:
        """Keep what makes pixels (tables, frame, scan heads, colour space); note what a reader has to know."""
        if marker in _FRAMES:
            self._frame(segment)
            self.kept.append(segment)
        elif marker == _SCAN or marker in _TABLES:
            self.kept.append(segment)
        elif marker in _OTHER_FRAMES or marker == 0xCC:
            raise BeyondLimits("the JPEG file uses a rare coding (lossless, hierarchical or arithmetic)")
        elif 0xE0 <= marker <= 0xEF:
            if (mark := _KEPT_APPLICATION.get(marker)) and segment.startswith(mark, 4):
                if marker == _JFIF and len(segment) > 10:  # TurboJPEG refuses a revision that it does not know
                    segment = segment[:9] + _REVISION + segment[11:]
                self.kept.append(segment)
            elif marker == 0xE1 and segment.startswith(b"Exif\0", 4):
                self.orientation = orientation_of(segment[10:])
                self.exif = self.exif or segment[10:]
            elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0", 4):
                self.profile.append(segment)
            elif marker == 0xE2 and segment.startswith(b"MPF\0", 4):
                self.announces_more = True
        elif marker != 0xFE:
            raise ImageRefused(f"the JPEG file is damaged: no decoder expects marker 0x{marker:02x} here")

    def _frame(self, segment: bytes) -> None:
        if self.frame[0] or len(segment) < 10:
            raise ImageRefused("the JPEG file is damaged: it has two frames or half a frame")
        height, width = int.from_bytes(segment[5:7], "big"), int.from_bytes(segment[7:9], "big")
        channels = segment[9]
        if segment[4] != 8 or channels not in (1, 3, 4):
            raise ImageRefused(f"the JPEG file has {channels} channels of {segment[4]} bits")
        self.limits.hold(width, height)
        self.frame = (width, height, channels)


def _skip_padding(content: bytes, at: int) -> int:
    while at < len(content) and content[at] == 0:
        at += 1
    return at
