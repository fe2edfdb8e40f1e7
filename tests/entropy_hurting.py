"""Pictures for the reader of entropy-coded data, and the ways in which they are hurt."""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image

WAYS = ("flip", "set", "cut out", "put in", "in the head", "swap")


def picture(width: int, height: int, *, seed: int, noise: int = 40, mode: str = "RGB", **options: object) -> bytes:
    """A JPEG file of slopes and noise."""
    dice = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(height), np.arange(width))[:, :, None] * dice.integers(1, 9, 3)
    pixels = np.clip(slope % 256 + dice.integers(-noise, noise + 1, (height, width, 3)), 0, 255).astype(np.uint8)
    into = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(into, "JPEG", **options)
    return into.getvalue()


def small_pictures() -> list[bytes]:
    """Pictures of every kind that the reader takes."""
    return [
        picture(40, 33, seed=1),
        picture(33, 40, seed=2, mode="L", quality=100),
        picture(17, 70, seed=3, subsampling=0, optimize=True),
        picture(64, 64, seed=4, quality=100, noise=255, subsampling=1),
        picture(70, 30, seed=5, restart_marker_blocks=2),
        picture(50, 50, seed=6, quality=20),
        picture(90, 8, seed=7, restart_marker_rows=1, optimize=True),
        picture(120, 110, seed=8, noise=255, quality=100),  # more than one window
    ]


def hurt(content: bytes, way: str, seed: int) -> bytes:
    """One to three places of it hurt; the markers at both ends stay."""
    dice, changed = random.Random(seed), bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 3))):
        head = changed.find(b"\xff\xda") + 12
        last = len(changed) - 3
        if last <= 2:
            break
        at = dice.randint(2, min(head, last)) if way == "in the head" else dice.randint(min(head, last), last)
        if way in ("flip", "in the head"):
            changed[at] ^= 1 << dice.randrange(8)
        elif way == "set":
            changed[at] = dice.choice((0, 0xFF, 0xD0, 0xD9, dice.randrange(256)))
        elif way == "cut out":
            del changed[at : min(at + dice.randint(1, 9), last)]
        elif way == "put in":
            changed[at:at] = dice.randbytes(dice.randint(1, 9))
        else:
            other = dice.randint(min(head, last), last)
            changed[at], changed[other] = changed[other], changed[at]
    return bytes(changed)
