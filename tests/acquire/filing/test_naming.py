from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.acquire.filing.contents import inside
from isthmus.acquire.filing.naming import MOST_PATH, TEMPLATE, Known, Naming, plain
from isthmus.core.errors import InputError

DIGEST = "0123456789abcdef" * 4
TAKEN = datetime(2026, 3, 1, 23, 5, 9, tzinfo=UTC)
ALLOWED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~")
RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))}


def _known(record: str = "r-1", **other: object) -> Known:
    known = {"environment": "public", "record": record, "digest": DIGEST, "format": "jpeg", "place": "it-arezzo"}
    return Known(**{**known, "taken": TAKEN, **other})  # type: ignore[arg-type]


def test_the_path_is_the_one_that_was_agreed_on() -> None:
    assert Naming().path(_known()) == "it-arezzo/20260301/23/public_20260301T230509_r-1_0123456789ab.jpg"


def test_times_are_written_in_utc() -> None:
    local = TAKEN.astimezone(timezone(timedelta(hours=9)))
    assert Naming().path(_known(taken=local)) == Naming().path(_known())


def test_what_nobody_knows_is_named_unknown() -> None:
    path = Naming().path(_known(place="", taken=None, format="webp"))
    assert path == "unknown-place/unknown-time/public_unknown-time_r-1_0123456789ab.webp"


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{root}/{environment}/{yyyy}/{mm}/{record-id}_{digest12}.{ext}", "public/2026/03/r-1_0123456789ab.jpg"),
        ("{root}/all/{digest}_{record-id}.{ext}", f"all/{DIGEST}_r-1.jpg"),
        ("{root}/{country}/{dd}-{hh}/x.{record-id}.{digest12}.{ext}", "it/01-23/x.r-1.0123456789ab.jpg"),
    ],
)
def test_the_template_can_be_another_one(template: str, path: str) -> None:
    assert Naming(template).path(_known(country="IT")) == path


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{place}/{record-id}_{digest12}.{ext}", "begins with"),
        ("{root}/{record-id}.{ext}", "digest12"),
        ("{root}/{digest12}.{ext}", "record-id"),
        ("{root}/{record-id}_{digest12}", "ends with"),
        ("{root}/../{record-id}_{digest12}.{ext}", "begins with a letter"),
        ("{root}//{record-id}_{digest12}.{ext}", "not empty"),
        ("{root}/{user}/{record-id}_{digest12}.{ext}", "no field {user}"),
        ("{root}/{place.__class__}/{record-id}_{digest12}.{ext}", "no field"),
        ("{root}/a b/{record-id}_{digest12}.{ext}", "letters, digits"),
        ("{root}/a\\b/{record-id}_{digest12}.{ext}", "letters, digits"),
        ("{root}/{record-id}{digest12}.{ext}", "set apart"),
        ("{root}/{environment}{record-id}_{digest12}.{ext}", "set apart"),
        ("{root}/x{record-id}_{digest12}.{ext}", "set apart"),
        ("{root}/" + "_".join(["{digest}"] * 4) + "_{record-id}.{ext}", "255 bytes"),
        ("{root}/" + "{digest}/" * 20 + "{record-id}_{digest12}.{ext}", "1024"),
        ("", "begins with"),
    ],
)
def test_a_template_that_could_go_wrong_is_refused_when_it_is_read(template: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Naming(template)


hostile = st.one_of(
    st.text(max_size=200),
    st.text("./\\~_-\0 CONcon:*?\u202e\n", max_size=40),
    st.sampled_from(
        ["../../etc/passwd", "CON", "con.txt", ".", "..", "-rf", "a" * 200, "\ud800", "é" * 100, "r-1~x"]
    ),
)


@settings(max_examples=examples(150), deadline=None)
@given(
    hostile, hostile, hostile, hostile, st.sampled_from([TEMPLATE, "{root}/{record-id}/{place}_{digest12}.{ext}"])
)
@example("0.", "", "", "", "{root}/{record-id}/{place}_{digest12}.{ext}")
def test_no_input_bends_a_path(record: str, place: str, environment: str, digest: str, template: str) -> None:
    path = Naming(template).path(
        _known(record, place=place, environment=environment, digest=digest, country=place)
    )
    assert len(path.encode()) <= MOST_PATH
    for part in path.split("/"):
        assert part
        assert set(part) <= ALLOWED
        assert part[0].isalnum()
        assert part[-1] not in ". "
        assert len(part.encode()) <= 247, "room for a temporary name"
        assert part.partition(".")[0].lower() not in RESERVED
    assert os.path.commonpath(("/root", inside("/root", path))) == "/root"


@settings(max_examples=examples(200), deadline=None)
@given(hostile, hostile, st.sampled_from([TEMPLATE, "{root}/{record-id}_{environment}.{digest12}.{ext}"]))
def test_two_record_ids_never_share_a_path(one: str, other: str, template: str) -> None:
    naming = Naming(template)
    same = naming.path(_known(one)) == naming.path(_known(other))
    assert same == (one == other)


@given(hostile)
def test_a_record_id_cannot_be_made_that_looks_like_the_name_of_another(record: str) -> None:
    assert plain(plain(record)) == plain(record) or plain(plain(record)) != plain(record)
    if plain(record) != record:
        assert plain(plain(record)) != plain(record), "a marked name is itself marked when it comes as an id"


short = st.text("abc_.-", min_size=1, max_size=6)


@settings(max_examples=300)
@given(short, short, st.sampled_from("ab"), st.sampled_from("ab"))
def test_the_other_fields_cannot_be_shifted_into_the_record_id(
    one: str, other: str, here: str, there: str
) -> None:
    naming = Naming("{root}/{environment}_{record-id}_{place}_{digest12}.{ext}")
    first = naming.path(_known(one, environment=here, place=there))
    second = naming.path(_known(other, environment=there, place=here))
    assert (first == second) == ((one, here, there) == (other, there, here))


@pytest.mark.parametrize(
    "path",
    ["../x.jpg", "/etc/passwd", "a/../../x", ".contents/aa/x.jpg", "a/.parts/x", "", ".", "a\0b", "a/../.."],
)
def test_paths_that_leave_the_root_or_touch_what_is_hidden_are_refused(path: str) -> None:
    with pytest.raises(InputError):
        inside("/root", path)
