from __future__ import annotations

import contextlib
import io
import random
import resource
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from examples import examples
from isthmus.imaging import decode, entropy, jpeg
from isthmus.imaging.decode import ImageLimits, ImageRefused, check, pixels
from samples import SAMPLES, needs_samples


def _photo(width: int = 97, height: int = 61) -> Image.Image:
    across = np.linspace(0, 255, width)[None, :, None] * np.array([1.0, 0.5, 0.2])
    down = np.linspace(0, 255, height)[:, None, None] * np.array([0.0, 0.5, 0.8])
    noise = np.random.default_rng(7).normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(across + down + noise, 0, 255).astype(np.uint8))


def _file(image: Image.Image, format: str, **options: object) -> bytes:
    into = io.BytesIO()
    image.save(into, format, **options)
    return into.getvalue()


JPEG = _file(_photo(), "JPEG", quality=90)
PROGRESSIVE = _file(_photo(), "JPEG", quality=90, progressive=True)
PNG = _file(_photo(), "PNG")
WEBP = _file(_photo(), "WEBP", quality=80)
LOSSLESS = _file(_photo(), "WEBP", lossless=True)
WHOLE = [JPEG, PROGRESSIVE, PNG, WEBP, LOSSLESS]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _with_chunk(kind: bytes, body: bytes) -> bytes:
    return PNG[:33] + _chunk(kind, body) + PNG[33:]


def _with_segment(marker: int, body: bytes, content: bytes = JPEG) -> bytes:
    return content[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + content[2:]


def _exif(orientation: int, order: str = "<") -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _jpeg_of_dimensions(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


def _png_of_dimensions(width: int, height: int) -> bytes:
    return PNG[:8] + _chunk(b"IHDR", struct.pack(">II", width, height) + PNG[24:29]) + PNG[33:]


@pytest.fixture(params=["fast", "plain"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(decode, "simplejpeg", None)
    elif decode.simplejpeg is None:
        pytest.skip("simplejpeg is not installed")
    return str(request.param)


def test_a_revision_of_jfif_that_nobody_knows_is_no_reason_to_refuse(
    decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entropy, "BUILT", False)
    assert JPEG[6:13] == b"JFIF\0\1\1"
    unknown = JPEG[:11] + b"\7\7" + JPEG[13:]
    assert check(unknown) == check(JPEG)
    if decoder == "fast":
        with pytest.raises(ImageRefused):
            check(unknown[:-40] + b"\xff\xd9")
    short = b"\xff\xe0\0\7JFIF\0"
    assert jpeg.dissect(JPEG[:2] + short + JPEG[2:], decode.LIMITS).bare.startswith(JPEG[:2] + short + JPEG[2:13])


@pytest.mark.parametrize("content", WHOLE)
def test_whole_pictures_pass_and_tell_their_format_and_size(content: bytes, decoder: str) -> None:
    checked = check(content)
    assert (checked.width, checked.height) == (97, 61)
    assert checked.format == {b"\xff\xd8": "jpeg", b"\x89P": "png", b"RI": "webp"}[content[:2]]
    assert pixels(content).shape == (61, 97, 3)
    assert np.abs(pixels(content).astype(int) - np.asarray(_photo()).astype(int)).mean() < 12


@pytest.mark.parametrize("content", WHOLE)
def test_a_file_that_ends_early_is_refused_wherever_it_ends(content: bytes, decoder: str) -> None:
    for end in {*range(0, 60), *range(60, len(content) - 40, 97), *range(len(content) - 40, len(content))}:
        with pytest.raises(ImageRefused):
            check(content[:end])


@pytest.mark.skipif(decode.simplejpeg is None, reason="simplejpeg is not installed")
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_scan_that_was_given_an_end_marker_is_refused(share: float) -> None:
    with pytest.raises(ImageRefused, match="premature end"):
        check(JPEG[: int(len(JPEG) * share)] + b"\xff\xd9")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"\xc5\xd0\xd3\xc6" + bytes(30), "EPS"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\n <svg onload='x'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\3\4" + bytes(40), "ZIP"),
        (_file(_photo(), "GIF"), "GIF"),
        (_file(_photo(), "TIFF"), "TIFF"),
        (_file(_photo(), "BMP"), "BMP"),
        (b"", "empty"),
        (b"\xff\xd8", "no image"),
        (random.Random(1).randbytes(4000), "no image"),
    ],
)
def test_other_formats_are_refused_by_their_content_whatever_their_name(content: bytes, named: str) -> None:
    with pytest.raises(ImageRefused, match=named):
        check(content)


@pytest.mark.parametrize("content", [_jpeg_of_dimensions(20_000, 20_000), _png_of_dimensions(20_000, 20_000)])
def test_400_million_pixels_are_refused_by_the_header_without_decoding(content: bytes) -> None:
    tracemalloc.start()
    try:
        for look in (check, pixels):
            with pytest.raises(ImageRefused, match=r"20000 × 20000 pixels, more than 50 million"):
                look(content)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_real_png_bomb_is_refused_by_its_header() -> None:
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(7001)) for _ in range(8000)) + rows.flush()
    header = struct.pack(">IIBBBBB", 7000, 8000, 8, 0, 0, 0, 0)
    bomb = PNG[:8] + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    assert len(bomb) < 100_000
    with pytest.raises(ImageRefused, match="more than 50 million"):
        check(bomb)


def test_a_png_that_packs_more_rows_than_it_tells_costs_no_memory() -> None:
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(8001)) for _ in range(8000)) + rows.flush()
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    bomb = PNG[:8] + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for look in (check, pixels):
        with contextlib.suppress(ImageRefused):
            look(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_000, "KiB; the rows have 64 MB"


def test_more_bytes_than_allowed_are_refused_before_anything_else() -> None:
    with pytest.raises(ImageRefused, match="more than 1000"):
        check(JPEG, ImageLimits(most_bytes=1000))
    with pytest.raises(ImageRefused, match="20971520"):
        check(bytes(20 * 1024 * 1024 + 1))


@pytest.mark.parametrize("content", WHOLE)
@pytest.mark.parametrize("trailer", [b"PK\3\4", b"<script>", b"%PDF-1.4", JPEG, b"\0" * 50 + b"x"])
def test_content_behind_the_picture_is_refused(content: bytes, trailer: bytes) -> None:
    with pytest.raises(ImageRefused, match="follow its end"):
        check(content + trailer)


@pytest.mark.parametrize("content", WHOLE)
def test_padding_behind_the_picture_is_allowed(content: bytes, decoder: str) -> None:
    assert check(content + b"\0\xff \r\n" * 40) == check(content)


def test_further_pictures_that_a_phone_announces_are_stepped_over() -> None:
    announced = _with_segment(0xE2, b"MPF\0II*\0")
    small = _file(_photo(20, 20), "JPEG")
    assert check(announced + small + bytes(10) + small).width == 97
    assert pixels(announced + small).shape == (61, 97, 3)
    for broken in (announced + small[:-2], announced + b"PK\3\4", announced + small + b"PK\3\4"):
        with pytest.raises(ImageRefused):
            check(broken)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_are_refused(format: str) -> None:
    frames = [_photo(), _photo().rotate(90)]
    with pytest.raises(ImageRefused, match="animated"):
        check(_file(frames[0], format, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_texts_are_never_unpacked(kind: bytes) -> None:
    packed = zlib.compress(bytes(200_000_000), 9)
    body = {
        b"zTXt": b"Comment\0\0" + packed,
        b"iTXt": b"Comment\0\1\0\0\0" + packed,
        b"iCCP": b"profile\0\0" + packed,
    }[kind]
    content = _with_chunk(kind, body)
    tracemalloc.start()
    try:
        assert check(content).width == 97
        assert pixels(content).shape == (61, 97, 3)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_huge_and_hostile_metadata_is_stepped_over(decoder: str) -> None:
    content = JPEG
    for _ in range(100):
        content = _with_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(65_000), content)
    content = _with_segment(
        0xFE, b"<?php system($_GET[0]) ?>", _with_segment(0xE2, b"ICC_PROFILE\0\1\1x", content)
    )
    assert len(content) > 6_000_000
    assert check(content) == check(JPEG)
    assert np.array_equal(pixels(content), pixels(JPEG))


def test_a_file_of_endless_tiny_parts_is_refused() -> None:
    with pytest.raises(ImageRefused, match="more than 65536 segments"):
        check(JPEG[:2] + b"\xff\xfe\0\2" * 100_000 + JPEG[2:])
    with pytest.raises(ImageRefused, match="more than 65536 chunks"):
        check(PNG[:33] + _chunk(b"tEXt", b"") * 70_000 + PNG[33:])


def test_a_progressive_picture_of_endless_scans_is_refused() -> None:
    at = PROGRESSIVE.rindex(b"\xff\xda")
    with pytest.raises(ImageRefused, match="too many scans"):
        check(PROGRESSIVE[:-2] + PROGRESSIVE[at:-2] * 200 + b"\xff\xd9")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_pictures_are_turned_upright_as_pillow_turns_them(orientation: int, order: str) -> None:
    from PIL import ImageOps

    exif = _exif(orientation, order)
    for content in (_with_segment(0xE1, b"Exif\0\0" + exif), _with_chunk(b"eXIf", exif)):
        wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
        assert np.array_equal(pixels(content), wanted)
        assert (check(content).height, check(content).width) == wanted.shape[:2]


def test_an_orientation_that_makes_no_sense_is_none() -> None:
    for exif in (_exif(0), _exif(9), _exif(6)[:12], b"", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"):
        assert check(_with_segment(0xE1, b"Exif\0\0" + exif)).width == 97


def test_transparent_pixels_are_laid_over_white() -> None:
    image = _photo().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    for format in ("PNG", "WEBP"):
        assert (pixels(_file(image, format, **({"lossless": True} if format == "WEBP" else {}))) >= 254).all()
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert (pixels(_file(palette, "PNG", transparency=1)) == 255).all()
    assert (pixels(_file(palette, "PNG")) == (10, 20, 30)).all()


def test_grey_16_bit_and_cmyk_pictures_become_rgb(decoder: str) -> None:
    grey = np.arange(0, 65_536, 16, dtype=np.uint16).reshape(64, 64)
    content = _file(Image.fromarray(grey), "PNG")
    assert check(content).width == 64
    assert np.array_equal(pixels(content)[:, :, 1], (grey >> 8).astype(np.uint8))
    for mode in ("CMYK", "L"):
        content = _file(_photo().convert(mode), "JPEG", quality=95)
        assert check(content).width == 97
        wanted = np.asarray(_photo().convert(mode).convert("RGB")).astype(int)
        assert np.abs(pixels(content).astype(int) - wanted).mean() < 12


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=6))
def test_damaged_bytes_give_a_picture_or_a_refusal_and_never_another_error(
    content: bytes, damage: list[tuple[float, int]]
) -> None:
    damaged = bytearray(content)
    for place, flipped in damage:
        damaged[min(int(place * len(content)), len(content) - 1)] ^= flipped
    for look in (check, pixels):
        try:
            look(bytes(damaged))
        except ImageRefused as error:
            assert "\n" not in str(error)


@settings(max_examples=examples(80), deadline=None)
@given(st.sampled_from([c[:40] for c in WHOLE]), st.binary(max_size=300))
def test_any_content_behind_a_good_start_is_judged(start: bytes, rest: bytes) -> None:
    with pytest.raises(ImageRefused):
        check(start + rest)


@needs_samples
def test_real_photos_pass_and_real_truncated_ones_are_refused() -> None:
    refused = set()
    for file in sorted((SAMPLES / "photos").rglob("*.jpg")):
        try:
            check(file.read_bytes())
        except ImageRefused:
            refused.add(file.name)
    cut = {"35_empty.jpg", "36_memory_error.jpg", "42_indexerror.jpg", "corrupted.jpg", "mutant_123.jpg"}
    assert refused == cut
