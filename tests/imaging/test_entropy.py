from __future__ import annotations

import io
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from entropy_hurting import WAYS, hurt, picture, small_pictures
from examples import examples
from isthmus.imaging import decode, entropy, jpeg
from isthmus.imaging.anatomy import ImageRefused
from samples import SAMPLES, needs_samples

simplejpeg = pytest.importorskip("simplejpeg")
needs_the_part_in_c = pytest.mark.skipif(
    not entropy.BUILT, reason="the part in C is not built: apt-get install gcc python3-dev, then pip install -e ."
)
pytestmark = needs_the_part_in_c


def bare(content: bytes) -> bytes:
    return jpeg.dissect(content, decode.LIMITS).bare


def by_libjpeg(content: bytes) -> NDArray[np.uint8] | None:
    """What libjpeg-turbo makes of it at an eighth; None where it has the least to complain about."""

    content = re.sub(rb"(?s)(?<=\xff\xe0..JFIF\0)..", b"\1\1", content, count=1)  # warned of, and harmless
    try:
        grey = simplejpeg.decode_jpeg(content, "GRAY", fastdct=True, min_factor=8, min_height=1, min_width=1)
    except ValueError:
        return None
    return np.asarray(grey[:, :, 0])


@cache
def whole() -> list[bytes]:
    return [bare(content) for content in small_pictures()]


@given(st.data())
@settings(max_examples=examples(150), deadline=None)
def test_of_every_whole_picture_it_says_what_libjpeg_says(data: st.DataObject) -> None:
    made = picture(
        data.draw(st.integers(1, 90), "width"),
        data.draw(st.integers(1, 90), "height"),
        seed=data.draw(st.integers(0, 999), "seed"),
        noise=data.draw(st.sampled_from([0, 20, 255]), "noise"),
        mode=data.draw(st.sampled_from(["L", "RGB"]), "mode"),
        quality=data.draw(st.integers(1, 100), "quality"),
        subsampling=data.draw(st.integers(0, 2), "subsampling"),
        optimize=data.draw(st.booleans(), "optimize"),
        restart_marker_blocks=data.draw(st.sampled_from([0, 1, 2, 7]), "restart"),
    )
    found, expected = entropy.eighth(bare(made)), by_libjpeg(bare(made))
    assert expected is not None
    if expected.shape == (1, 1):
        assert found is None
    else:
        assert found is not None, "and it leaves no regular picture to others"
        assert np.array_equal(found, expected)


@needs_samples
def test_of_real_photos_too_it_says_what_libjpeg_says(capsys: pytest.CaptureFixture[str]) -> None:
    read = 0
    for file in sorted((SAMPLES / "photos").rglob("*.jpg")):
        try:
            content = bare(file.read_bytes())
        except ImageRefused:
            continue
        found, expected = entropy.eighth(content), by_libjpeg(content)
        if found is not None:
            read += 1
            assert expected is not None, file
            assert np.array_equal(found, expected), file
    with capsys.disabled():
        print(f"\n{read} real photos read as libjpeg-turbo reads them")
    assert read > 20


@pytest.mark.parametrize("way", WAYS)
@given(st.data())
@settings(max_examples=examples(150), deadline=None)
def test_of_a_hurt_picture_it_says_nothing_that_libjpeg_would_not_say(way: str, data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(whole()), "picture")
    damaged = hurt(content, way, data.draw(st.integers(0, 2**32), "seed"))
    found = entropy.eighth(damaged)
    if found is not None:
        expected = by_libjpeg(damaged)
        assert expected is not None, "what libjpeg complains about is never said to be whole"
        assert np.array_equal(found, expected)


@given(st.sampled_from([0, 2, 4, 6]), st.integers(0, 2**32))
@settings(max_examples=examples(100), deadline=None)
def test_a_picture_that_is_cut_is_never_said_to_be_whole(which: int, seed: int) -> None:
    content = whole()[which % len(whole())]
    start = content.index(b"\xff\xda") + 2 + int.from_bytes(content[content.index(b"\xff\xda") + 2 :][:2], "big")
    at = start + seed % (len(content) - 3 - start)
    assert entropy.eighth(content[:at] + b"\xff\xd9") is None


def test_what_is_no_sequential_picture_in_luminance_is_left_to_the_decoder() -> None:
    image = Image.effect_noise((64, 48), 60)
    colour = Image.merge("RGB", [image, image.rotate(180), image])

    def answer(of: Image.Image, **options: object) -> NDArray[np.uint8] | None:
        into = io.BytesIO()
        of.save(into, "JPEG", **options)
        return entropy.eighth(bare(into.getvalue()))

    assert answer(colour) is not None
    assert answer(colour, progressive=True) is None
    assert answer(colour, keep_rgb=True) is None
    assert answer(colour.convert("CMYK")) is None


def test_a_side_shorter_than_asked_is_left_to_the_decoder() -> None:
    made = bare(picture(256, 255, seed=1))
    found = entropy.eighth(made, least=32)
    assert found is not None
    assert found.shape == (32, 32)
    assert entropy.eighth(made, least=33) is None


@pytest.mark.parametrize("factors", [0x11, 0x12, 0x22, 0x41, 0x44])
def test_the_factors_of_one_component_alone_say_nothing(factors: int) -> None:
    content = bytearray(whole()[1])
    content[content.index(b"\xff\xc0") + 11] = factors
    found, expected = entropy.eighth(bytes(content)), by_libjpeg(bytes(content))
    assert found is not None
    assert expected is not None
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\xff\xc4", b"\xff\xc4\x00\x04\x00\x00\xff\xc4"),
        (b"\xff\xdb", b"\xff\xdb\x00\x04\x00\x00\xff\xdb"),
        (b"\xff\xda", b"\xff\xdd\x00\x03\x00\xff\xda"),
        (b"\xff\xda", b"\xff\xfe\x00\x02\xff\xda"),
    ],
    ids=["codes", "quanta", "interval", "unknown"],
)
def test_a_segment_that_is_not_what_it_should_be_is_left_to_the_decoder(old: bytes, new: bytes) -> None:
    content = whole()[0]
    assert entropy.eighth(content) is not None
    assert entropy.eighth(content.replace(old, new, 1)) is None


def test_a_head_that_is_longer_than_all_tables_is_neither_read_nor_kept() -> None:
    content = whole()[0]
    at = content.index(b"\xff\xdb")
    table = content[at : content.index(b"\xff", at + 1)]
    before = entropy._scan.cache_info().currsize
    assert entropy.eighth(content[:at] + table * 20 + content[at:]) is not None
    kept = entropy._scan.cache_info().currsize
    assert kept >= before
    assert entropy.eighth(content[:at] + table * 200 + content[at:]) is None
    assert entropy._scan.cache_info().currsize == kept


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xdb\0\2\xff", b"\xff\xd8\xff\xda"]
)
def test_what_ends_before_its_data_is_left_to_the_decoder(content: bytes) -> None:
    assert entropy.eighth(content) is None


def test_a_code_with_more_words_than_there_can_be_is_none() -> None:
    counts, symbols = bytes((3, *[0] * 15)), b"\1\2\3"
    assert entropy._entropy.table(counts, symbols, True) is None
    assert entropy._entropy.table(bytes(16), symbols, True) is None
    assert entropy._entropy.table(bytes((2, *[0] * 15)), symbols[:2], True) is not None
    with pytest.raises(ValueError, match="16 lengths"):
        entropy._entropy.table(b"\1", symbols, True)


ASKED = {
    "data": bytes(64), "start": 0, "end": 64, "tables": b"", "blocks": bytes(5), "mcus": (1, 1), "interval": 0,
    "sampling": (1, 1), "quantum": 1, "size": (1, 1),
}  # fmt: skip
WRONG = [
    {"start": -1}, {"end": 65}, {"start": 60, "end": 50}, {"blocks": b""}, {"blocks": bytes(55)},
    {"blocks": b"\1\1\0\0\0"}, {"blocks": b"\1\0\1\0\0"}, {"mcus": (0, 1)}, {"mcus": (1, 65536)}, {"interval": -1},
    {"sampling": (5, 1)}, {"sampling": (1, 0)}, {"quantum": 32768}, {"size": (2, 1)}, {"size": (1, 2)},
    {"size": (0, 1)},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_the_part_in_c_believes_nothing_that_it_is_told(wrong: dict[str, object]) -> None:
    table = entropy._entropy.table(bytes((2, *[0] * 15)), b"\0\1", True)
    asked = {**ASKED, "tables": table}
    assert entropy._entropy.grey(*asked.values()) is None  # 64 bytes are more than one block
    with pytest.raises(ValueError, match="does not fit"):
        entropy._entropy.grey(*{**asked, **wrong}.values())


@given(st.lists(st.sampled_from([b"\xff", b"\0", b"\xd0", b"\xd7", b"\xd8", b"\xda", b"a"])), st.integers(0, 30))
def test_data_ends_where_the_expression_says_that_it_ends(parts: list[bytes], start: int) -> None:
    content = b"".join(parts)
    found = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(content, start)
    assert entropy.end(content, start) == (found.start() if found else -1)


def test_without_the_part_in_c_all_is_left_to_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = decode.look(picture(300, 280, seed=3))
    monkeypatch.setattr(entropy, "BUILT", False)
    slow = decode.look(picture(300, 280, seed=3))
    assert entropy.eighth(whole()[0]) is None
    assert np.array_equal(quick.grey, slow.grey)
    assert (quick.checked, quick.anatomy) == (slow.checked, slow.anatomy)
