"""Small pictures of images that may be hostile: decoded within limits, drawn anew, never sent as they came.

A few are drawn at a time: a large PNG takes some hundred megabytes while it is decoded.
"""

from __future__ import annotations

import io
import threading

from isthmus.imaging.anatomy import ImageLimits

LEAST_EDGE, MOST_EDGE = 32, 1600
QUALITY = 82
PLACEHOLDER = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 72" width="96" height="72">'
    b'<rect width="96" height="72" fill="#9aa3ad"/>'
    b'<path d="M24 52 40 32l10 12 8-8 14 16zM62 22a5 5 0 1 1 0 10 5 5 0 0 1 0-10z" fill="#e7ebf0"/>'
    b'<path d="M16 62 80 10" stroke="#b3261e" stroke-width="4"/></svg>'
)
"""What is shown in place of an image that cannot be drawn: SVG without script or style."""

_AT_ONCE = threading.BoundedSemaphore(2)


def small(content: bytes, edge: int, limits: ImageLimits | None = None) -> bytes | None:
    """Draw an image as JPEG, upright, without metadata, its longest edge `edge` pixels at most.

    None where it cannot be drawn, for whatever its content is.
    """
    from PIL import Image

    from isthmus.imaging.decode import LIMITS, ImageRefused, reduced

    with _AT_ONCE:
        try:
            image = Image.fromarray(reduced(content, edge, limits or LIMITS))
        except (ImageRefused, MemoryError):
            return None
        image.thumbnail((edge, edge), Image.Resampling.BICUBIC, reducing_gap=2.0)
        into = io.BytesIO()
        image.save(into, "JPEG", quality=QUALITY)
    return into.getvalue()


__all__ = ["LEAST_EDGE", "MOST_EDGE", "PLACEHOLDER", "small"]
