"""What a site knows of galleries is told as plain values, at the inner site, at the outer one and on a device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crossed_galleries import HOSTILE_ID, HOSTILE_TEXT, STAFF, Crossed, crossed, photo
from gallery_making import alter
from gallery_sites import INNER, OUTER, here, write
from isthmus.app.galleries.outer import any_set
from isthmus.app.views.devices import fleet
from isthmus.app.views.galleries import acts, holding, reference, reference_image, references
from isthmus.app.views.gates import gate, quarantine
from isthmus.app.views.pictures import small
from isthmus.core.errors import InputError, UnknownName
from isthmus.transfer.signing import SigningKey


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crossed]:
    made = crossed(tmp_path_factory.mktemp("sites"))
    made.sync()
    return made


def test_both_sides_of_the_gate_hold_the_same_at_the_same_position(sites: Crossed) -> None:
    inner, outer, _ = (holding(toml) for toml in sites.tomls)
    assert inner is not None
    assert outer is not None
    assert (inner.role, outer.role) == ("inner", "outer")
    assert inner.position == outer.position
    assert inner.position is not None
    assert (inner.position.seq, len(inner.position.digest)) == (4, 64)
    assert [(one.gallery, one.records, one.refused) for one in outer.galleries] == [(STAFF, 4, 1)]
    assert outer.galleries[0].vectors == 3


def test_a_device_holds_what_was_granted_and_proven(sites: Crossed) -> None:
    device = holding(sites.tomls[2])
    assert device is not None
    assert (device.role, device.enrolled, device.records) == ("device", "handheld", 3)
    shown = device.galleries[0]
    assert (shown.gallery, shown.mode, shown.verified) == (STAFF, "both", True)
    assert shown.synced is not None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_records_are_paged_with_their_attributes_and_no_markup_is_made_of_them(sites: Crossed, place: int) -> None:
    toml = sites.tomls[place]
    found = references(toml, STAFF, most=2)
    while more := references(toml, STAFF, found[-1].key, 2):
        found += more
    by_id = {one.id: one for one in found}
    known = {"ann", "bob", HOSTILE_ID} | ({"large"} if place < 2 else set())
    assert by_id.keys() == known
    assert len(found) == len(known)
    assert by_id["ann"].attributes == {"role": "guard", "place": "gate 3"}
    assert by_id["bob"].attributes == {"name": HOSTILE_TEXT}
    assert reference(toml, STAFF, "ann") == by_id["ann"]
    assert reference(toml, STAFF, "nobody") is None


def test_a_gallery_and_a_place_that_are_none_are_told_so(sites: Crossed) -> None:
    for toml in sites.tomls:
        with pytest.raises(UnknownName, match=r"galleries\.stuff"):
            references(toml, "galleries.stuff")
        with pytest.raises(InputError):
            references(toml, STAFF, "../../etc")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_image_is_found_by_the_digest_of_a_record_alone(sites: Crossed, place: int) -> None:
    toml = sites.tomls[place]
    ann = reference(toml, STAFF, "ann")
    assert ann is not None
    content = reference_image(toml, ann.image)
    assert content == photo(1, note=HOSTILE_TEXT)
    drawn = small(content, 32)
    assert drawn is not None
    assert drawn.startswith(b"\xff\xd8")
    assert b"script" not in drawn
    for wrong in ("0" * 64, "../images", ann.image[:-2], "zz", ""):
        assert reference_image(toml, wrong) is None


def test_what_the_site_refused_is_not_given_and_told_in_the_quarantine(sites: Crossed) -> None:
    large = reference(sites.tomls[1], STAFF, "large")
    assert large is not None
    assert "pixels" in large.refused
    assert reference_image(sites.tomls[1], large.image) is None
    aside = quarantine(sites.tomls[1])
    assert [(one.gallery, one.id) for one in aside.images] == [(STAFF, "large")]
    assert quarantine(sites.tomls[0]).images == ()


def test_it_is_told_how_far_a_device_is_and_how_much_it_is_behind(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    toml = sites.tomls[1]
    sites.sync()
    told = fleet(toml)
    assert told is not None
    assert told.counts == (("enrolled", 1),)
    assert [(rule.galleries, rule.tags, rule.mode) for rule in told.rules] == [((STAFF,), ("gate",), "both")]
    (device,) = told.devices
    assert device.seen is not None
    assert [(one.gallery, one.behind) for one in device.galleries] == [(STAFF, 0)]
    sites.add("cleo", photo(9))
    sites.cross()
    told = fleet(toml)
    assert told is not None
    assert (told.devices[0].behind or 0) >= 1
    assert told.devices[0].behind == 2, "the record came, and then its vector"
    sites.sync()
    told = fleet(toml)
    assert told is not None
    assert told.devices[0].behind == 0
    here(sites.outer, "device", "withdraw", "1")
    told = fleet(toml)
    assert told is not None
    assert told.devices[0].galleries == ()


def test_the_gate_tells_what_was_sent_what_waits_and_what_is_missing(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    sending = gate(sites.tomls[0])
    assert sending is not None
    assert sending.sending is not None
    assert (sending.sending.waiting, sending.alarms) == (0, ())
    sites.add("cleo", photo(9))
    here(sites.inner, "gate", "send")
    for file in (tmp_path / "gate-inner").iterdir():
        file.unlink()  # the gatekeeper loses it
    sites.add("dan", photo(10))
    sites.cross(code=3)
    receiving = gate(sites.tomls[1])
    assert receiving is not None
    assert receiving.receiving is not None
    now = receiving.receiving
    assert now.lag == 2
    assert [(one.since, one.until) for one in now.missing] == [(4, 5)]
    assert [one.kind for one in now.staged] == ["increment"]
    assert now.request.startswith("galleries 1 4-5 ")
    assert [one.kind for one in receiving.alarms] == ["GAP"]


def test_a_tampered_file_is_in_the_quarantine_with_its_reason(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    sites.add("cleo", photo(9))
    here(sites.inner, "gate", "send")
    for file in sorted((tmp_path / "gate-inner").iterdir()):
        if (
            not file.name.startswith(".") and "heartbeat" not in file.name
        ):  # where sending took a while, one goes along
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            (tmp_path / "gate-outer" / file.name).write_bytes(content)
    toml = sites.outer / "isthmus.toml"
    toml.write_text(toml.read_text().replace("poll_s = 0.1", "poll_s = 0.1\nsettle_s = 0"))
    here(sites.outer, "gate", "receive", code=3)
    here(sites.outer, "gate", "receive", code=3)
    aside = quarantine(toml)
    assert [(one.kind, one.healed) for one in aside.files] == [("TAMPERED", False)]
    assert aside.files[0].why


def test_the_latest_acts_come_first_and_older_ones_behind_them(sites: Crossed) -> None:
    for toml in sites.tomls[:2]:
        latest = acts(toml, most=3)
        assert [one.number for one in latest] == sorted((one.number for one in latest), reverse=True)
        rest = acts(toml, latest[-1].number, 1000)
        assert {one.number for one in rest}.isdisjoint({one.number for one in latest})
        assert acts(toml, most=1000) == latest + rest
    assert {one.act for one in acts(sites.tomls[0], most=100)} >= {"add"}
    assert {one.act for one in acts(sites.tomls[1], most=100)} >= {"apply", "device enrolled", "received"}
    assert acts(sites.tomls[2]) == []


def test_a_site_that_has_not_begun_is_empty_and_nothing_is_made_for_it(tmp_path: Path) -> None:
    key = SigningKey.create()
    outer = write(tmp_path / "outer", OUTER.format(extractor="", trust=key.public))
    inner = write(tmp_path / "inner", INNER)
    device = write(tmp_path / "device", '[site]\nname = "d"\n[device]\n')
    for folder in (outer, inner, device):
        toml = folder / "isthmus.toml"
        told = holding(toml)
        assert told is not None
        assert (told.galleries, told.position) == ((), None)
        assert quarantine(toml).images == ()
        assert acts(toml) == []
        with pytest.raises(UnknownName):
            references(toml, STAFF)
        assert reference_image(toml, "0" * 64) is None
        assert [file.name for file in folder.iterdir()] == ["isthmus.toml"]
    empty = fleet(outer / "isthmus.toml")
    assert empty is not None
    assert empty.devices == ()
    sending = gate(inner / "isthmus.toml")
    assert sending is not None
    assert "no signing key" in sending.problem


def test_a_site_without_galleries_has_none(tmp_path: Path) -> None:
    toml = write(tmp_path / "loop", '[site]\nname = "loop"\n') / "isthmus.toml"
    assert holding(toml) is None
    assert gate(toml) is None
    assert fleet(toml) is None
    assert quarantine(toml).files == ()


def test_a_damaged_image_is_empty_and_drawn_as_nothing(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    toml = sites.tomls[1]
    ann = reference(toml, STAFF, "ann")
    assert ann is not None
    with any_set(toml) as held:
        alter(held, bytes.fromhex(ann.image), b"<svg onload=alert(1)>")
        assert reference_image(toml, ann.image) == b""
        alter(held, bytes.fromhex(ann.image), None)
    assert reference_image(toml, ann.image) == b""
    assert small(b"", 64) is None
    assert small(b"<svg onload=alert(1)>", 64) is None
