"""Looking at a picture before it is filed: the reader of entropy-coded data beside libjpeg-turbo and Pillow."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice

from PIL import Image

from bench.acquire import SIZES
from bench.acquire_site import pictures
from bench.figure import Figure, medians_s
from isthmus.imaging import entropy, fingerprint, jpeg
from isthmus.imaging.decode import LIMITS

SIDE = fingerprint.SIDE


def run(scale: float = 1.0) -> list[Figure]:
    """Measure; `scale` is the part of the rounds."""
    if not entropy.BUILT:
        print("  decode: the part in C is not built (apt-get install gcc python3-dev, then make clean setup)")
        return []
    import simplejpeg

    def by_turbo(bare: bytes) -> object:
        return simplejpeg.decode_jpeg(bare, "GRAY", fastdct=True, min_height=SIDE, min_width=SIDE, min_factor=1)

    def by_pillow(bare: bytes) -> object:
        image = Image.open(io.BytesIO(bare))
        image.draft("L", (SIDE, SIDE))
        return image.load()

    figures = []
    for name, (size, edge, *_) in SIZES.items():
        bare = [jpeg.dissect(content, LIMITS).bare for content in islice(pictures(size, edge), 30)]
        read = sum(entropy.eighth(one, SIDE) is not None for one in bare)
        ways: dict[str, Callable[[bytes], object]] = {
            "ours": partial(entropy.eighth, least=SIDE), "turbo": by_turbo, "pillow": by_pillow
        }  # fmt: skip
        each = {way: partial(_all, one, bare) for way, one in ways.items()}
        taken = {
            way: seconds / len(bare) * 1e3 for way, seconds in medians_s(each, max(3, int(31 * scale)), 1).items()
        }
        print(f"  {read} of {len(bare)} pictures of {name} are read", file=sys.stderr)
        figures += [
            Figure(
                f"a look at a picture of {name}",
                taken["ours"],
                "ms",
                "libjpeg-turbo by simplejpeg",
                taken["turbo"],
            ),
            Figure("  the same", taken["ours"], "ms", "Pillow", taken["pillow"]),
        ]
    return figures


def _all(way: Callable[[bytes], object], pictures: list[bytes]) -> None:
    for one in pictures:
        way(one)
