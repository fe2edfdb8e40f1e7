"""Photos for the demonstration: real ones where the samples are there, else made ones with a time and a place."""

from __future__ import annotations

import shutil
from pathlib import Path

_PLACES = {
    "lund": (55.7047, 13.1910),
    "arezzo": (43.4633, 11.8797),
    "nairobi": (-1.2864, 36.8172),
    "seattle": (47.6062, -122.3321),
    "paris": (48.8566, 2.3522),
    "osaka": (34.6937, 135.5023),
}
_EXIF, _GPS = 0x8769, 0x8825
_TAKEN = 36867
_EACH = 16


def gather(samples: Path | None, first: Path, second: Path) -> bool:
    """Put photos into two folders; returns whether they are real ones."""
    photos = samples / "photos" if samples is not None else None
    if photos is not None and (photos / "lund-walk").is_dir() and (photos / "exif-gps").is_dir():
        for source, folder in ((photos / "lund-walk", first), (photos / "exif-gps", second)):
            for photo in sorted(source.glob("*.jpg"))[:_EACH]:
                shutil.copyfile(photo, folder / photo.name)
        return True
    for number in range(2 * _EACH):
        _make((first, second)[number % 2] / f"camera-{number:02d}.jpg", number)
    return False


def _make(path: Path, number: int) -> None:
    """Make a JPEG with what a camera writes: EXIF 2.32's DateTimeOriginal and GPS as rationals."""
    import numpy as np
    from PIL import Image

    tones = 128 + 100 * np.tanh(np.random.default_rng(number).normal(size=(6, 6)))
    image = Image.fromarray(tones.astype(np.uint8)).resize((320, 240), Image.Resampling.BICUBIC).convert("RGB")
    latitude, longitude = list(_PLACES.values())[number % len(_PLACES)]
    exif = Image.Exif()
    exif.get_ifd(_EXIF)[_TAKEN] = f"2026:11:{1 + number % 20:02d} {8 + number % 10:02d}:15:{number:02d}"
    exif.get_ifd(_GPS).update(
        {
            1: "N" if latitude >= 0 else "S",
            2: (abs(latitude), 0.0, 0.0),
            3: "E" if longitude >= 0 else "W",
            4: (abs(longitude), 0.0, 0.0),
        }
    )
    image.save(path, "JPEG", exif=exif, quality=88)
