from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from filing_pictures import NOW, arrived, encoded, jpeg_of_dimensions, many_scans, photo, png_bomb
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.work import Draft, Examiner
from isthmus.acquire.image import Filed, Told
from isthmus.imaging.decode import check, pixels
from isthmus.imaging.fingerprint import Phash
from isthmus.imaging.place import Place
from samples import SAMPLES, needs_samples

AREZZO = Place("it-arezzo", "Arezzo, Tuscany, Italy", "IT", 0.3)


def _nearest(latitude: float, longitude: float) -> Place | None:
    return AREZZO if abs(latitude - 43.5) < 0.5 and abs(longitude - 11.9) < 0.5 else None


def _examiner(tmp_path: Path, **rules: Any) -> Examiner:
    return Examiner(FilingRules(str(tmp_path), **rules), _nearest, lambda: NOW)


def _filed(tmp_path: Path, content: bytes, told: Told | None = None, wish: Any = None, **rules: Any) -> Filed:
    draft = _examiner(tmp_path, **rules).examine(arrived(content, told=told, **(wish or {})))
    assert isinstance(draft, Draft), draft
    return draft.filed


def _exif(latitude: float = 43.46, longitude: float = 11.88, time: str = "2019:07:14 15:16:17") -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = time
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (latitude, 0.0, 0.0)
    gps[3], gps[4] = "E", (longitude, 0.0, 0.0)
    exif[0x0110] = "Kamera 7"
    return exif.tobytes()


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", Kind.NOT_AN_IMAGE, "empty"),
        (b"<html>", Kind.NOT_AN_IMAGE, "HTML"),
        (encoded(format="GIF"), Kind.NOT_AN_IMAGE, "GIF"),
        (encoded()[:-300], Kind.NOT_AN_IMAGE, "truncated"),
        (encoded(format="PNG")[:-300], Kind.NOT_AN_IMAGE, "truncated"),
        (encoded() + b"PK\3\4", Kind.REFUSED, "follow its end"),
        (b"GIF89a/*" + encoded(), Kind.NOT_AN_IMAGE, "GIF"),
        (jpeg_of_dimensions(20_000, 20_000), Kind.REFUSED, "more than 50 million"),
        (jpeg_of_dimensions(21, 421), Kind.REFUSED, "20 to 1"),
        (many_scans(80), Kind.REFUSED, "more than 64"),
        (encoded(save_all=True, append_images=[photo(2)], format="PNG"), Kind.REFUSED, "animated"),
        (encoded(save_all=True, append_images=[photo(2)], format="WEBP"), Kind.REFUSED, "animated"),
        (encoded() + b"\0" * (20 << 20), Kind.REFUSED, "more than 20971520"),
    ],
)
def test_what_cannot_be_filed_fails_with_its_reason(
    tmp_path: Path, content: bytes, kind: Kind, words: str
) -> None:
    failure = _examiner(tmp_path).examine(arrived(content))
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert words in failure.reason
    assert "\n" not in failure.reason


def test_a_bomb_within_the_limits_is_decoded_and_a_lower_limit_refuses_it(tmp_path: Path) -> None:
    assert _filed(tmp_path, png_bomb()).phash == "", "a picture of one colour has no hash"
    failure = _examiner(tmp_path, megapixels=40.0).examine(arrived(png_bomb()))
    assert isinstance(failure, Failure)
    assert failure.kind == Kind.REFUSED


def test_a_file_may_hold_the_content_and_only_as_much_as_allowed_is_read(tmp_path: Path) -> None:
    file = tmp_path / "came"
    file.write_bytes(encoded())
    draft = _examiner(tmp_path).examine(arrived(file))
    assert isinstance(draft, Draft)
    assert draft.content == encoded()
    with file.open("ab") as grown:
        grown.truncate(3 << 30)
    failure = _examiner(tmp_path).examine(arrived(encoded()).__class__(1, "a", arrived(b"").wish, file, "0" * 64))
    assert isinstance(failure, Failure)
    assert failure.kind == Kind.REFUSED
    file.unlink()
    gone = _examiner(tmp_path).examine(arrived(encoded()).__class__(1, "a", arrived(b"").wish, file, "0" * 64))
    assert isinstance(gone, Failure)
    assert gone.kind == Kind.DISK


def test_the_picture_itself_knows_best(tmp_path: Path) -> None:
    told = Told(
        modified=NOW, meta={"x-amz-meta-latitude": "10", "x-amz-meta-longitude": "10", "taken": "2001-01-01"}
    )
    wish = {"latitude": 1.0, "longitude": 1.0, "place": "Nowhere", "taken": NOW}
    filed = _filed(tmp_path, encoded(exif=_exif()), told, wish)
    assert (filed.place, filed.place_name, filed.place_from) == ("it-arezzo", "Arezzo, Tuscany, Italy", "exif")
    assert (filed.latitude, filed.longitude, filed.country) == (pytest.approx(43.46), pytest.approx(11.88), "IT")
    assert (filed.taken, filed.taken_from) == (datetime(2019, 7, 14, 15, 16, 17, tzinfo=UTC), "exif")
    assert filed.camera == "Kamera 7"
    assert filed.path.startswith("it-arezzo/20190714/15/public_20190714T151617_r-1_")


def test_the_zone_of_an_environment_is_that_of_its_cameras(tmp_path: Path) -> None:
    filed = _filed(tmp_path, encoded(exif=_exif()), zone="Asia/Tokyo")
    assert filed.taken == datetime(2019, 7, 14, 6, 16, 17, tzinfo=UTC)
    other = _filed(tmp_path, encoded(exif=_exif()), zone="Asia/Tokyo", zones={"public": "Europe/Rome"})
    assert other.taken == datetime(2019, 7, 14, 13, 16, 17, tzinfo=UTC)


def test_then_the_storage_server_knows_and_then_the_client(tmp_path: Path) -> None:
    meta = {
        "x-amz-meta-Latitude": "43.5",
        "x-amz-meta-longitude": "11.9",
        "x-amz-meta-taken": "2020-02-02T02:02:02Z",
    }
    wish = {"place": "Grüne Wiese", "taken": datetime(2021, 3, 3, tzinfo=UTC)}
    filed = _filed(tmp_path, encoded(), Told(meta=meta, modified=NOW), wish)
    assert (filed.place, filed.place_from) == ("it-arezzo", "server")
    assert (filed.taken, filed.taken_from) == (datetime(2020, 2, 2, 2, 2, 2, tzinfo=UTC), "server")
    filed = _filed(tmp_path, encoded(), Told(modified=NOW), wish)
    assert (filed.place, filed.place_name, filed.place_from) == ("grune-wiese", "Grüne Wiese", "client")
    assert (filed.taken, filed.taken_from) == (datetime(2021, 3, 3, tzinfo=UTC), "client")


def test_the_time_of_last_change_counts_last_and_only_where_it_is_allowed(tmp_path: Path) -> None:
    told = Told(modified=datetime(2020, 1, 1, tzinfo=UTC))
    filed = _filed(tmp_path, encoded(), told)
    assert (filed.taken, filed.taken_from) == (told.modified, "server")
    assert "the time is that of the last change on the storage server" in filed.flaws
    filed = _filed(tmp_path, encoded(), told, modified_is_taken=False)
    assert filed.taken is None
    assert filed.path.startswith("unknown-place/unknown-time/public_unknown-time_r-1_")


@pytest.mark.parametrize(
    "meta",
    [
        {"latitude": "nan", "longitude": "nan"},
        {"latitude": "1e999", "longitude": "1"},
        {"latitude": "43.5"},
        {"latitude": "0", "longitude": "0"},
        {"latitude": "43.5" * 1000, "longitude": "11.9"},
        {"taken": "9999-12-31T23:59:59+00:00"},
        {"taken": "0001-01-01"},
        {"taken": "../../x"},
        {"taken": "99999999999999"},
        {"place": "\u202e\0\x07"},
    ],
)
def test_nonsense_of_a_storage_server_is_left_aside(tmp_path: Path, meta: dict[str, str]) -> None:
    filed = _filed(tmp_path, encoded(), Told(meta=meta))
    assert (filed.place, filed.latitude, filed.taken) == ("unknown-place", None, None)


def test_times_of_clients_that_cannot_be_are_left_aside(tmp_path: Path) -> None:
    for moment in (NOW + timedelta(days=2), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        filed = _filed(tmp_path, encoded(), wish={"taken": moment})
        assert filed.taken is None
        assert filed.flaws


def test_places_in_other_letters_keep_their_names_and_get_folders_of_their_own(tmp_path: Path) -> None:
    first = _filed(tmp_path, encoded(), wish={"place": "北京"})
    second = _filed(tmp_path, encoded(), wish={"place": "東京"})
    assert first.place_name == "北京"
    assert first.place.startswith("place-")
    assert first.place != second.place


def test_a_position_far_from_any_town_is_kept_without_a_place(tmp_path: Path) -> None:
    filed = _filed(tmp_path, encoded(exif=_exif(10.0, 10.0)))
    assert (filed.place, filed.latitude) == ("unknown-place", pytest.approx(10.0))
    named = _filed(tmp_path, encoded(exif=_exif(10.0, 10.0)), wish={"place": "Buoy 7"})
    assert (named.place, named.place_from, named.latitude) == ("buoy-7", "client", pytest.approx(10.0))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_hash_is_that_of_the_upright_picture_and_of_its_gallery(tmp_path: Path, format: str) -> None:
    image = photo(3, 640, 480)
    options: dict[str, Any] = {"quality": 92} if format != "PNG" else {}
    hashes = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Pillow's transposes that undo it
        stored = image if back is None else image.transpose(Image.Transpose(back))
        content = encoded(stored, format, exif=exif.tobytes(), **options)
        filed = _filed(tmp_path, content)
        assert (filed.width, filed.height) == (640, 480)
        gallery = Phash().extract(pixels(content))
        assert gallery is not None
        assert _apart(filed.phash, gallery.hex()) <= 3
        hashes.append(filed.phash)
    assert max(_apart(hashes[0], other) for other in hashes) <= 4
    assert _apart(hashes[0], _filed(tmp_path, encoded(photo(4, 640, 480), format)).phash) > 12


def _apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("coloured", [False, True])
def test_metadata_can_be_removed_and_the_picture_stays_as_it_was(
    tmp_path: Path, format: str, orientation: int, coloured: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "SECRET of a person"
    exif.get_ifd(0x8825)[1] = "N"
    more: dict[str, Any] = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    if format == "JPEG":
        more["comment"] = b"SECRET comment"
    content = encoded(photo(5), format, exif=exif.tobytes(), **(more if coloured else {}))
    draft = _examiner(tmp_path, remove_metadata=True).examine(arrived(content))
    assert isinstance(draft, Draft)
    assert b"SECRET" in content
    assert b"SECRET" not in draft.content
    assert draft.filed.size == len(draft.content)
    assert draft.filed.digest != draft.filed.source_digest
    assert check(draft.content) == check(content)
    assert np.array_equal(pixels(draft.content), pixels(content))
    ours, theirs = (ImageOps.exif_transpose(Image.open(io.BytesIO(raw))) for raw in (draft.content, content))
    assert np.array_equal(np.asarray(ours.convert("RGB")), np.asarray(theirs.convert("RGB")))
    assert (Image.open(io.BytesIO(draft.content)).info.get("icc_profile") is not None) == coloured
    again = _examiner(tmp_path, remove_metadata=True).examine(arrived(draft.content))
    assert isinstance(again, Draft)
    assert again.content == draft.content


def test_transparency_survives_the_removal_of_metadata(tmp_path: Path) -> None:
    image = photo(6).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[0x0112] = 3
    for options in ({"format": "PNG"}, {"format": "WEBP"}, {"format": "WEBP", "lossless": True}):
        content = encoded(image, exif=exif.tobytes(), **options)
        draft = _examiner(tmp_path, remove_metadata=True).examine(arrived(content))
        assert isinstance(draft, Draft)
        ours, theirs = (
            np.asarray(Image.open(io.BytesIO(raw)).convert("RGBA")) for raw in (draft.content, content)
        )
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "rules", [{"template": "{root}/x.{ext}"}, {"zone": "Moon/Base"}, {"zones": {"public": "../../etc"}}]
)
def test_rules_that_cannot_be_used_are_refused_when_they_are_read(tmp_path: Path, rules: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        FilingRules(str(tmp_path), **rules)


@needs_samples
def test_real_photos_are_filed_where_and_when_they_were_taken(tmp_path: Path) -> None:
    pytest.importorskip("reverse_geocode")
    examiner = Examiner(FilingRules(str(tmp_path)), clock=lambda: NOW)

    def place(name: str) -> str:
        draft = examiner.examine(arrived((SAMPLES / "photos" / name).read_bytes()))
        assert isinstance(draft, Draft), draft
        return "/".join(draft.filed.path.split("/")[:-1])

    assert place("exif-gps/dscn0010.jpg") == "it-arezzo/20081022/14"
    assert place("exif-gps/apple_iphone_5.jpg") == "us-seattle/20120929/16"
    assert place("exif-gps/kodak_cx7530.jpg") == "ke-nakuru/20050813/09"
    assert place("exif-gps/nokia_lumia_800.jpg").startswith("ie-drumcondra/20120609"), "a part of Dublin"
    assert place("exif-odd/leica_t_typ_701.jpg") == "unknown-place/20140424/12"
    assert place("exif-odd/samsung_gt_i9000_galaxy_s.jpg") == "unknown-place/20110402/18"
    assert place("exif-odd/image01551.jpg") == "unknown-place/unknown-time"
    assert place("lund-walk/01.jpg") == "se-lund/20140607/10"
