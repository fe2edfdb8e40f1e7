"""Looks at a JPEG picture quickly: all its entropy-coded data is read, and an eighth of it in grey comes out.

It answers only for pictures that are perfectly regular: one sequential scan of all components, eight bits, every
code known, every block whole, and the last bits where the scan ends. For them the answer is, byte for byte, what
libjpeg-turbo makes of them at an eighth of their size. For everything else it is None, which is no verdict:
libjpeg-turbo is asked, and only that one ever refuses a picture.

The reading itself is in C (`_entropy.c`), built where a C compiler is at hand when Isthmus is installed. Without
it every answer is None, and all works as well, only slower.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

try:
    from isthmus.imaging import _entropy
except ImportError:
    BUILT = False
else:
    BUILT = True
"""Whether the part in C is there."""

_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SEQUENTIAL = (0xC0, 0xC1)
_APP0, _APP14 = 0xE0, 0xEE
_DHT, _SOS, _DQT, _DRI = 0xC4, 0xDA, 0xDB, 0xDD
_WHOLE_SPECTRUM = bytes((0, 63, 0))
_SUBSAMPLINGS = {(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4)}  # of chroma, that TurboJPEG has names for
_MOST_HEAD = 8192  # all tables that there can be take 3 KB; what was told of a head is kept, so none may be long
_MOST_QUANTUM = 32767  # libjpeg takes it as a short
_YCBCR = 1
"""What Adobe's segment says of a picture whose first component is its luminance."""


def end(content: bytes, start: int) -> int:
    """Return where the entropy-coded data from `start` on ends: at the next marker that is no restart, or -1."""
    if BUILT:
        return _entropy.end(content, start)
    found = _AFTER_SCAN.search(content, start)
    return found.start() if found else -1


def eighth(bare: bytes, least: int = 1) -> NDArray[np.uint8] | None:
    """Return a picture in grey at an eighth of its size, rounded up, of shape (height, width).

    `bare` is a JPEG file with only what makes pixels, from start to end marker, as `jpeg.dissect` leaves
    it. None: it is for the decoder, or a side of the answer would have less than `least` pixels.
    """
    if not BUILT:
        return None
    start = _start(bare)
    if start > _MOST_HEAD:
        return None
    scan = _scan(bare[2:start])
    alone = (1, 1)  # of a single block the decoder reads all coefficients, at any size
    if scan is None or scan.size == alone or min(scan.size) < least:
        return None
    grey = _entropy.grey(bare, start, len(bare) - 2, *scan)
    return None if grey is None else np.frombuffer(grey, np.uint8).reshape(scan.size[1], scan.size[0])


class _Component(NamedTuple):
    """One of a frame; `across` and `down` are its sampling factors."""

    name: int
    across: int
    down: int
    quantization: int


@dataclass(slots=True)
class _Head:
    """What the segments before the scan's data tell of it."""

    width: int = 0
    height: int = 0
    components: list[_Component] = field(default_factory=list)
    codes: dict[int, bytes] = field(default_factory=dict)
    quanta: dict[int, int] = field(default_factory=dict)
    interval: int = 0
    colours: int | None = None

    @property
    def begins_with_luminance(self) -> bool:
        """Whether the first component is what libjpeg calls grey, as its jdapimin.c guesses a file's colours."""
        names = [one.name for one in self.components]
        if len(names) != 3:
            return len(names) == 1
        return self.colours == _YCBCR or (self.colours is None and names == [1, 2, 3])


class _Scan(NamedTuple):
    """A scan as `_entropy.grey` wants it told."""

    tables: bytes
    blocks: bytes
    mcus: tuple[int, int]
    interval: int
    sampling: tuple[int, int]
    quantum: int
    size: tuple[int, int]


def _start(bare: bytes) -> int:
    """Return where the data of the first scan begins."""
    at = 2
    while at + 1 < len(bare) and bare[at + 1] != _SOS:
        at += 2 + int.from_bytes(bare[at + 2 : at + 4], "big")
    return at + 2 + int.from_bytes(bare[at + 2 : at + 4], "big")


@lru_cache(64)
def _scan(segments: bytes) -> _Scan | None:
    """Tell of a scan by all segments before its data; None: not for us. A camera often writes the same ones."""
    try:
        return _laid_out(*_gathered(segments))
    except (IndexError, KeyError, ValueError):  # a segment that ends early, a table that is missing or is none
        return None


def _gathered(segments: bytes) -> tuple[_Head, bytes]:
    """Take the segments apart; returns what they say, and the body of the last, SOS."""
    head, at = _Head(), 0
    while True:
        marker, size = segments[at + 1], int.from_bytes(segments[at + 2 : at + 4], "big")
        if segments[at] != 0xFF:
            raise ValueError("no marker")
        body = segments[at + 4 : at + 2 + size]
        at += 2 + size
        if marker == _SOS:
            return head, body
        if marker in _SEQUENTIAL and body[0] == 8 and len(body) == 6 + 3 * body[5]:
            head.height, head.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            head.components = [
                _Component(n, s >> 4, s & 15, q) for n, s, q in zip(*[iter(body[6:])] * 3, strict=False)
            ]
        elif marker == _DHT:
            _add_codes(head.codes, body)
        elif marker == _DQT:
            _add_quanta(head.quanta, body)
        elif marker == _DRI and len(body) == 2:
            head.interval = int.from_bytes(body, "big")
        elif marker == _APP0:
            head.colours = _YCBCR if len(body) >= 14 else head.colours  # JFIF: whatever Adobe's segment says
        elif marker == _APP14:
            head.colours = body[11] if len(body) >= 12 and head.colours is None else head.colours
        else:
            raise ValueError("no segment of a sequential picture")


def _add_codes(codes: dict[int, bytes], body: bytes) -> None:
    """Add each table of a DHT segment by its class and place (T.81, B.2.4.2)."""
    while body:
        place, counts = body[0], body[1:17]
        symbols = body[17 : 17 + sum(counts)]
        if place & ~0x13 or len(symbols) != sum(counts) or (place < 0x10 and max(symbols, default=0) > 15):
            raise ValueError("no table, or a class, a place or a symbol that there is not")
        codes[place] = _table(counts, symbols, place >= 0x10)
        body = body[17 + len(symbols) :]


def _add_quanta(quanta: dict[int, int], body: bytes) -> None:
    """Add the first value of each table of a DQT segment (T.81, B.2.4.1)."""
    while body:
        wide, place = body[0] >> 4, body[0] & 15
        size = 1 + 64 * (1 + wide)
        if wide > 1 or place > 3 or size > len(body):
            raise ValueError("no table, or a precision or a place that there is not")
        quanta[place] = int.from_bytes(body[1 : 2 + wide], "big")
        body = body[size:]


def _laid_out(head: _Head, order: bytes) -> _Scan | None:
    """Lay out the blocks of an MCU as the SOS segment orders them (T.81, A.2.3 and B.2.3); None: not for us."""
    components, count = head.components, len(head.components)
    if order[:1] != bytes((count,)) or order[1 + 2 * count :] != _WHOLE_SPECTRUM or not head.begins_with_luminance:
        return None
    if count == 1:  # it has blocks instead of MCUs, whatever its factors say
        if not (1 <= components[0].across <= 4 and 1 <= components[0].down <= 4):
            return None
        components = [components[0]._replace(across=1, down=1)]
    (_, across, down, _), *chroma = components
    if (across, down) not in _SUBSAMPLINGS or any((one.across, one.down) != (1, 1) for one in chroma):
        return None
    tables: dict[int, bytes] = {}
    blocks: list[int] = []
    for number, (name, wide, high, quantization) in enumerate(components):
        named, chosen = order[1 + 2 * number : 3 + 2 * number]
        if name != named or quantization not in head.quanta:
            return None
        dc, ac = chosen >> 4, 0x10 | chosen & 15
        tables |= {dc: head.codes[dc], ac: head.codes[ac]}
        places = list(tables)
        for place in range(high * wide):
            blocks += [number == 0, places.index(dc), places.index(ac), *divmod(place, wide)]
    quantum = head.quanta[components[0].quantization]
    if quantum > _MOST_QUANTUM:
        return None
    mcus = -(-head.width // (8 * across)), -(-head.height // (8 * down))
    size = -(-head.width // 8), -(-head.height // 8)
    return _Scan(b"".join(tables.values()), bytes(blocks), mcus, head.interval, (across, down), quantum, size)


@lru_cache(32)
def _table(counts: bytes, symbols: bytes, ac: bool) -> bytes:
    """Make a table, or take one that was made: most programs write those of T.81, annex K. Raises ValueError."""
    made = _entropy.table(counts, symbols, ac)
    if made is None:
        raise ValueError("no Huffman code")
    return made
