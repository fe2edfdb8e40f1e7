"""The anatomy of a JPEG file (ITU-T T.81, annex B): markers, segments, scans."""

from __future__ import annotations

import re

import numpy as np

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

_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FILL = re.compile(rb"\xff+")
_SCAN, _END = 0xDA, 0xD9
_FRAMES = {0xC0, 0xC1, 0xC2}
_OTHER_FRAMES = set(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = {0xC4, 0xDB, 0xDD}
_KEPT_APPLICATION = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}  # they tell the colour space
_TRUNCATED = "the JPEG file is truncated"
_LONG, _STRETCH = 64 << 10, 1 << 20
"""Scans of so many bytes are searched by NumPy, and so many bytes at a time."""
_ENDS = np.ones(256, np.bool_)
_ENDS[[0x00, *range(0xD0, 0xD8), 0xFF]] = False


def dissect(content: bytes | memoryview, limits: ImageLimits) -> Anatomy:
    """Take a JPEG file apart. Raises ImageRefused.

    Baseline and progressive pictures with Huffman coding and 8 bits are taken, which is what cameras and programs
    write. Further pictures after the first, as phones append them, are allowed where a multi-picture segment
    (CIPA DC-007) announces them; they are stepped over and never decoded.
    """
    picture = _Walk(content, 0, limits)
    end = picture.end
    while picture.announces_more and content[(at := _skip_padding(content, end)) : at + len(START)] == START:
        end = _Walk(content, at, limits).end
    only_padding(content, end)
    width, height, channels = picture.frame
    bare, profile = b"".join(picture.kept), b"".join(picture.profile)
    return Anatomy("jpeg", width, height, channels, picture.orientation, bare, picture.exif, profile)


class _Walk:
    """Walks over one picture from its start marker to its end marker."""

    def __init__(self, content: bytes | memoryview, start: int, limits: ImageLimits) -> None:
        self.content = content
        self.view = memoryview(content)  # stretches of it are copied once, when what is kept is joined
        self.limits = limits
        self.frame = (0, 0, 0)
        self.orientation = 1
        self.announces_more = False
        self.exif = b""
        self.profile: list[bytes] = []
        self.kept: list[bytes | memoryview] = [self.view[start : start + 2]]
        self.end = self._walk(start + 2)

    def _walk(self, at: int) -> int:
        content, view, length, kept, scans = self.content, self.view, len(self.content), self.kept, 0
        for _ in range(MOST_PARTS):
            head = content[at : at + 4]
            if head[:1] != b"\xff" or head[1:2] in (b"\xff", b""):
                at = self._over_fill(at)
                head = content[at : at + 4]
            marker = head[1]
            if marker == _END:
                if not scans:
                    raise ImageRefused("the JPEG file holds no picture")
                kept.append(b"\xff\xd9")
                return at + 2
            size = int.from_bytes(head[2:], "big")
            end = at + 2 + size
            if size < 2:
                raise ImageRefused("the JPEG file is damaged" if at + 4 <= length else _TRUNCATED)
            if end > length:
                raise ImageRefused(_TRUNCATED)
            if marker in _TABLES:
                kept.append(view[at:end])
            elif marker == _SCAN:
                scans += 1
                if not self.frame[0]:
                    raise ImageRefused("the JPEG file is damaged: a scan comes before its frame")
                if scans > self.limits.most_scans:
                    raise BeyondLimits(f"the JPEG file has too many scans, more than {self.limits.most_scans}")
                end = _end_of_scan(view, end)
                if end < 0:
                    raise ImageRefused(_TRUNCATED)
                kept.append(view[at:end])
            else:
                self._segment(marker, bytes(view[at:end]))
            at = end
        raise BeyondLimits(f"the JPEG file has more than {MOST_PARTS} segments")

    def _over_fill(self, at: int) -> int:
        """Return where a marker begins that fill bytes come before."""
        filled = _FILL.match(self.content, at)
        if filled is None or filled.end() >= len(self.content):
            raise ImageRefused(_TRUNCATED if at >= len(self.content) or filled else "the JPEG file is damaged")
        return filled.end() - 1

    def _segment(self, marker: int, segment: bytes) -> None:
        """Keep what makes pixels (the frame, the colour space); note what a reader has to know."""
        if 0xE0 <= marker <= 0xEF:
            if (mark := _KEPT_APPLICATION.get(marker)) and segment.startswith(mark, 4):
                self.kept.append(segment)
            elif marker == 0xE1 and segment.startswith(b"Exif\0", 4):
                self.orientation = orientation_of(segment[10:])
                self.exif = self.exif or segment[10:]
            elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0", 4):
                self.profile.append(segment)
            elif marker == 0xE2 and segment.startswith(b"MPF\0", 4):
                self.announces_more = True
        elif marker in _FRAMES:
            self._frame(segment)
            self.kept.append(segment)
        elif marker in _OTHER_FRAMES or marker == 0xCC:
            raise BeyondLimits("the JPEG file uses a rare coding (lossless, hierarchical or arithmetic)")
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


def _end_of_scan(view: memoryview, at: int) -> int:
    """Return where the marker after entropy-coded data begins; -1 where there is none."""
    if len(view) - at < _LONG:
        found = _AFTER_SCAN.search(view, at)
        return found.start() if found else -1
    # The same, in half the time: after 0xFF, whatever is neither stuffed, nor restarts, nor fills is a marker.
    octets = np.frombuffer(view, np.uint8)
    for begin in range(at, len(view) - 1, _STRETCH):
        marks = np.flatnonzero(octets[begin : min(begin + _STRETCH, len(view) - 1)] == 0xFF) + begin
        ends = marks[_ENDS[octets[marks + 1]]]
        if len(ends):
            return int(ends[0])
    return -1


def _skip_padding(content: bytes | memoryview, at: int) -> int:
    while at < len(content) and content[at] == 0:
        at += 1
    return at
