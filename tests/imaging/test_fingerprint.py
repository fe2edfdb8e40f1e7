from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from isthmus.imaging.fingerprint import _COSINES, Phash, of_grey, of_greys
from samples import SAMPLES, needs_samples


def _bits(image: Image.Image | NDArray[np.uint8]) -> int:
    stored = Phash().extract(np.asarray(image))
    assert stored is not None
    assert len(stored) == Phash().model.size
    return int.from_bytes(stored)


def _apart(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_the_transform_is_the_orthonormal_cosine_transform() -> None:
    assert np.allclose(_COSINES @ _COSINES.T, np.eye(8))
    wave = np.cos(np.pi * 3 * (2 * np.arange(32) + 1) / 64)
    assert np.allclose(_COSINES @ wave, [0, 0, 4, 0, 0, 0, 0, 0])


@needs_samples
def test_copies_of_a_picture_lie_within_the_threshold_and_other_pictures_do_not() -> None:
    files = sorted((SAMPLES / "photos" / "lund-walk").glob("*.jpg"))[::6]
    hashes = []
    for file in files:
        image = Image.open(file).convert("RGB")
        packed = io.BytesIO()
        image.resize((image.width // 3, image.height // 3)).save(packed, "JPEG", quality=40)
        packed.seek(0)
        hashes.append(_bits(image))
        copies = [
            Image.open(packed),
            ImageEnhance.Brightness(image).enhance(1.2),
            image.convert("L").convert("RGB"),
        ]
        for copy in copies:
            assert _apart(hashes[-1], _bits(copy)) <= Phash().model.threshold
    portrait = Image.open(SAMPLES / "faces/caltech/person_00/image_0001.jpg")
    assert all(_apart(_bits(portrait), other) > 10 for other in hashes)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 900, 3), (33, 31, 3)])
def test_any_shape_is_taken_and_one_colour_gives_none(shape: tuple[int, ...]) -> None:
    assert Phash().extract(np.full(shape, 77, np.uint8)) is None
    noise = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    assert Phash().extract(noise) == Phash().extract(noise.copy())


def test_pictures_hashed_together_have_the_hashes_that_each_has_alone() -> None:
    dice = np.random.default_rng(5)
    greys = [
        np.asarray(Image.fromarray(dice.integers(0, 256, (5, 7), dtype=np.uint8)).resize((wide, high)))
        for wide, high in ((60, 45), (45, 60), (60, 45), (33, 300), (64, 64))
    ]
    greys.insert(2, np.full((40, 40), 90, np.uint8))
    together = of_greys(greys)
    assert together == [of_grey(grey) for grey in greys]
    assert together[2] is None
    for grey, found in zip(greys, together, strict=True):
        if found is not None:
            alone = Phash().extract(np.repeat(grey[:, :, np.newaxis], 3, axis=2))
            assert alone is not None
            assert _apart(int.from_bytes(found), int.from_bytes(alone)) <= 4
    assert of_greys([]) == []
