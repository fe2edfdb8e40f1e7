"""Devices are enrolled once by invitation, get what rules grant them, and nothing once revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError, Refused, UnknownName
from isthmus.gallery import enrolment
from isthmus.gallery.device.site import DeviceSite
from isthmus.gallery.registry import Devices, DeviceState, Reached, Rule, granted
from isthmus.gallery.sync.messages import Act
from isthmus.gallery.sync.mode import Mode
from isthmus.state.audit import Audit
from isthmus.state.store import Store
from isthmus.transfer.signing import SigningKey


class HandClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 5, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def devices(tmp_path: Path, clock: HandClock) -> Devices:
    store = Store(tmp_path / "site.db")
    return Devices(store, clock, Audit(store, clock))


def test_an_invitation_works_once_and_binds_the_key(devices: Devices, tmp_path: Path) -> None:
    token = devices.invite("station-7", ["airport", "police"], by="ann")
    assert token.encode() not in (tmp_path / "site.db").read_bytes() + (tmp_path / "site.db-wal").read_bytes()
    key, server = SigningKey.create(), SigningKey.create()
    answer = devices.answer(enrolment.request(token, key), server.public)
    assert enrolment.of_answer(answer) == enrolment.Enrolled("station-7", server.public)
    assert devices.known("station-7") == key.public
    assert devices.get("station-7").state is DeviceState.ENROLLED
    with pytest.raises(Refused, match="used already"):
        devices.enrol(token, SigningKey.create().public)
    with pytest.raises(InputError, match="enrolled already"):
        devices.invite("station-7", [], by="ann")


def test_an_invitation_expires(devices: Devices, clock: HandClock) -> None:
    token = devices.invite("station-7", [], by="ann", valid=timedelta(hours=1))
    clock.time += timedelta(hours=1)
    with pytest.raises(Refused, match="expired"):
        devices.enrol(token, SigningKey.create().public)
    assert devices.known("station-7") is None


def test_a_request_that_its_key_did_not_sign_is_refused(devices: Devices) -> None:
    token = devices.invite("station-7", [], by="ann")
    theirs = enrolment.request(token, SigningKey.create())
    mine = str(SigningKey.create().public)
    other = enrolment.of_request(theirs)[1]
    for body in (theirs.replace(str(other).encode(), mine.encode()), b"{}", b"\xff", theirs[:-1], b"x" * 10_000):
        with pytest.raises(Refused):
            devices.answer(body, SigningKey.create().public)
    assert devices.known("station-7") is None


def test_a_revoked_device_gets_nothing_and_its_key_is_never_accepted_again(devices: Devices) -> None:
    key = SigningKey.create().public
    devices.enrol(devices.invite("station-7", [], by="ann"), key)
    devices.grant([], ["*"], Mode.IMAGES, by="ann")
    assert devices.allowed("station-7", ["a.people"]) == {"a.people": Mode.IMAGES}
    devices.revoke("station-7", by="bob")
    assert devices.known("station-7") is None
    with pytest.raises(Refused, match="revoked"):
        devices.allowed("station-7", ["a.people"])
    with pytest.raises(Refused, match="revoked"):
        devices.enrol(devices.invite("station-7", [], by="ann"), key)
    devices.enrol(devices.invite("station-7", [], by="ann"), SigningKey.create().public)
    assert devices.known("station-7") not in (None, key)
    acts = [(entry.who, entry.act) for entry in devices._audit.entries()]
    assert ("bob", "device revoked") in acts and ("station-7", "device enrolled") in acts


def test_a_name_that_is_enrolled_anew_is_another_device(devices: Devices) -> None:
    first, second = SigningKey.create().public, SigningKey.create().public
    devices.enrol(devices.invite("station-7", [], by="ann"), first)
    devices.require("station-7", first)
    devices.revoke("station-7", by="ann")
    token = devices.invite("station-7", [], by="ann")
    for _ in ("invited", "enrolled"):
        with pytest.raises(Refused, match="revoked"):
            devices.require("station-7", first)
        if devices.known("station-7") is None:
            devices.enrol(token, second)
    devices.require("station-7", second)


def test_an_unknown_device_is_refused_and_named(devices: Devices) -> None:
    devices.invite("station-7", [], by="ann")
    with pytest.raises(UnknownName, match="station-7"):
        devices.revoke("station-8", by="ann")
    for name in ("station-7", "nobody"):
        with pytest.raises(Refused):
            devices.allowed(name, [])


def test_rules_grant_by_tags_and_patterns(devices: Devices) -> None:
    devices.enrol(devices.invite("gate-1", ["airport", "police"], by="ann"), SigningKey.create().public)
    devices.grant(["airport"], ["air.*"], Mode.VECTORS, by="ann")
    devices.grant(["airport", "police"], ["*.wanted"], Mode.IMAGES, by="ann")
    rule = devices.grant(["harbour"], ["*"], Mode.BOTH, by="ann")
    names = ["air.staff", "air.wanted", "sea.wanted", "sea.staff"]
    assert devices.allowed("gate-1", names) == {
        "air.staff": Mode.VECTORS,
        "air.wanted": Mode.BOTH,
        "sea.wanted": Mode.IMAGES,
    }
    devices.tag("gate-1", ["harbour"], by="ann")
    assert set(devices.allowed("gate-1", names)) == set(names)
    devices.withdraw(rule.number, by="ann")
    assert not devices.allowed("gate-1", names)
    with pytest.raises(InputError, match="no rule"):
        devices.withdraw(rule.number, by="ann")


tags = st.frozensets(st.sampled_from(["a", "b", "c"]))
rules = st.lists(
    st.builds(Rule, st.just(1), tags, st.sampled_from([("x.*",), ("*",)]), st.sampled_from(list(Mode)))
)


@given(tags, tags, rules)
def test_more_tags_never_grant_less(some: frozenset[str], more: frozenset[str], found: list[Rule]) -> None:
    names = ["x.one", "y.two"]
    less, all_ = granted(some, found, names), granted(some | more, found, names)
    assert less.keys() <= all_.keys()
    for name, mode in less.items():
        assert all_[name].joined(mode) is all_[name]


def test_acts_of_a_device_are_noted_once(devices: Devices) -> None:
    devices.enrol(devices.invite("gate-1", [], by="ann"), SigningKey.create().public)
    acts = [Act(number, "2026-05-01T00:00:00", "identified", "a.people", str(number), "") for number in (3, 4)]
    assert devices.note("gate-1", b"queue", acts) == 4
    assert devices.note("gate-1", b"queue", [*acts, Act(5, "", "identified", "a.people", "5", "")]) == 5
    assert devices.note("gate-1", b"other", acts) == 4
    subjects = [entry.subject for entry in devices._audit.entries() if entry.act == "identified"]
    assert subjects == ["3", "4", "5", "3", "4"]


def test_a_device_is_seen_when_it_greets(devices: Devices, clock: HandClock) -> None:
    devices.enrol(devices.invite("gate-1", [], by="ann"), SigningKey.create().public)
    assert devices.get("gate-1").seen is None
    devices.seen("gate-1")
    assert devices.get("gate-1").seen == clock.now()
    clock.time += timedelta(minutes=1)
    devices.seen("gate-1")
    assert devices.get("gate-1").seen == clock.now()


def test_a_device_site_enrols_itself_once(devices: Devices, tmp_path: Path, clock: HandClock) -> None:
    server = SigningKey.create()
    with DeviceSite(tmp_path / "device", clock) as site:
        with pytest.raises(InputError, match="not enrolled"):
            site.enrolled()
        body = devices.answer(site.enrolment_request(devices.invite("gate-1", [], by="ann")), server.public)
        assert site.take_enrolment(body, "https://sync.example").device == "gate-1"
        assert site.enrolled().server == server.public and site.url == "https://sync.example"
        assert devices.known("gate-1") == site.key.public
        with pytest.raises(InputError, match="is enrolled as gate-1"):
            site.enrolment_request("another")


def test_it_is_known_how_far_a_device_is_in_each_gallery(devices: Devices, clock: HandClock) -> None:
    first = clock.time
    devices.invite("station-7", [], by="ann")
    devices.reached("station-7", {"g.a": 3, "g.b": 5})
    clock.time += timedelta(hours=1)
    devices.reached("station-7", {"g.a": 3, "g.b": 6})
    assert devices.standing("station-7") == [Reached("g.a", 3, first), Reached("g.b", 6, clock.time)]
    assert devices.standing("station-8") == []


def test_nothing_is_known_of_galleries_that_were_taken_away_or_of_a_device_before(devices: Devices) -> None:
    devices.invite("station-7", [], by="ann")
    devices.reached("station-7", {"g.a": 3, "g.b": 5})
    devices.reached("station-7", {}, ["g.a", "g.never"])
    assert [one.gallery for one in devices.standing("station-7")] == ["g.b"]
    devices.invite("station-7", [], by="ann")
    assert devices.standing("station-7") == []
