"""Images for the tests of filing, good and hostile, and how they arrive."""

from __future__ import annotations

import io
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from PIL import Image

from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.work import Draft, Examiner
from isthmus.acquire.image import Arrived, Told
from isthmus.acquire.request import Wish

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def photo(seed: int = 1, width: int = 97, height: int = 61) -> Image.Image:
    across = np.linspace(0, 255, width)[None, :, None] * np.array([1.0, 0.5, 0.2])
    noise = (
        np.random.default_rng(seed).normal(90, 40, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    )
    return Image.fromarray(np.clip(across / 2 + noise[:height, :width], 0, 255).astype(np.uint8))


def encoded(image: Image.Image | None = None, format: str = "JPEG", **options: Any) -> bytes:
    into = io.BytesIO()
    (image or photo()).save(into, format, **options)
    return into.getvalue()


def arrived(content: bytes | Path, number: int = 1, told: Told | None = None, **wish: Any) -> Arrived:
    raw = content if isinstance(content, bytes) else content.read_bytes()
    asked = Wish(**{"address": "http://x/y", "environment": "public", "record": f"r-{number}", **wish})
    return Arrived(number, asked.environment, asked, content, blake3(raw).hexdigest(), told or Told())


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg_of_dimensions(width: int, height: int) -> bytes:
    content = encoded()
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def png_bomb() -> bytes:
    """49 million pixels of one colour in 50 KB: within the limits, and harmless."""
    rows = zlib.compressobj(9)
    body = b"".join(rows.compress(bytes(7001)) for _ in range(7000)) + rows.flush()
    header = struct.pack(">IIBBBBB", 7000, 7000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def many_scans(count: int) -> bytes:
    content = encoded(progressive=True)
    at = content.rindex(b"\xff\xda")
    return content[:-2] + content[at:-2] * count + b"\xff\xd9"


def drafts_of(root: Path) -> list[Draft]:
    """Return five images that were found fit, two of them of the same content."""
    examiner = Examiner(FilingRules(str(root)), lambda latitude, longitude: None, lambda: NOW)
    came = [arrived(encoded(photo(seed)), seed, place=f"town {seed % 2}") for seed in range(4)]
    came.append(arrived(encoded(photo(0)), 9, place="elsewhere"))
    return [draft for one in came if isinstance(draft := examiner.examine(one), Draft)]


def tree(root: Path) -> dict[str, bytes]:
    """Return all files under a root, by relative path, but for the folders of parts."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in sorted(root.rglob("*"))
        if file.is_file() and ".parts" not in file.parts
    }
