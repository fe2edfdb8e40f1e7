from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.acquire.request import MOST_REQUESTS, Wish, check
from isthmus.acquire.server import intake
from isthmus.acquire.server.intake import Form, Intake, Wrong, form_of, read


def wish(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"address": f"http://a.example/{number}.jpg", "environment": "video", "record": f"r{number}", **more}


def told(body: bytes | list[dict[str, Any]], form: Form = Form.JSON) -> Intake:
    return read(body if isinstance(body, bytes) else msgspec.json.encode(body), form)


def test_one_object_a_list_and_lines_say_the_same() -> None:
    one = read(msgspec.json.encode(wish()), Form.JSON)
    assert one == told([wish()]) == told(b"\n" + msgspec.json.encode(wish()) + b"\r\n\n", Form.LINES)
    assert one.wishes == (Wish("http://a.example/1.jpg", "video", "r1"),)


def test_a_table_with_all_columns_gives_whole_wishes() -> None:
    body = (
        "\ufeffRecord;address;environment;priority;deadline;tags;thumbnails;latitude;longitude;place;taken;dedup\r\n"
        'r1;"http://a.example/a;b.jpg";video;9;2027-01-01T00:00:00Z;wet | night;256|512;59.3;18.1;"Öst;er";;k\r\n'
        "r2;http://a.example/2.jpg;video;;;;;;;;;\r\n"
    ).encode()
    found = read(body, Form.CSV)
    assert found.wrong == ()
    first, second = found.wishes
    assert first == Wish(
        "http://a.example/a;b.jpg",
        "video",
        "r1",
        9,
        datetime(2027, 1, 1, tzinfo=UTC),
        (256, 512),
        ("wet", "night"),
        "k",
        None,
        "Öst;er",
        59.3,
        18.1,
    )
    assert second == Wish("http://a.example/2.jpg", "video", "r2")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"environment": "Video Net"}, "no label"),
        ({"address": ""}, "empty"),
        ({"address": "http://a/" + "x" * 3000}, "longer"),
        ({"record": "a\nb"}, "control"),
        ({"record": "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace") * 80}, "longer"),
        ({"priority": 10}, "priority"),
        ({"priority": "5"}, "int"),
        ({"deadline": "2027-01-01T00:00:00"}, "zone"),
        ({"taken": "2027-01-01T00:00:00"}, "zone"),
        ({"deadline": "soon"}, "date"),
        ({"thumbnails": [16]}, "thumbnails"),
        ({"thumbnails": [256] * 5}, "thumbnails"),
        ({"tags": ["a"] * 17}, "tags"),
        ({"tags": [""]}, "empty"),
        ({"latitude": 1.0}, "together"),
        ({"latitude": 91.0, "longitude": 0.0}, "nowhere"),
        ({"place": ""}, "empty"),
        ({"dedup": "\u0007"}, "control"),
        ({"recrod": "x"}, "did you mean 'record'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(more: dict[str, Any], word: str) -> None:
    bad = wish(2, **more)
    for form, body in (
        (Form.JSON, msgspec.json.encode([wish(1), bad, wish(3)])),
        (Form.LINES, b"\n".join(map(msgspec.json.encode, [wish(1), bad, wish(3)]))),
    ):
        found = read(body, form)
        assert found.wishes == ()
        assert [one.line for one in found.wrong] == [2]
        assert word in found.wrong[0].what, found


def test_the_same_record_twice_is_told_with_both_lines() -> None:
    assert told([wish(1), wish(2), wish(1)]).wrong == (Wrong(3, "record 'r1' stands on line 1 already"),)
    table = "address,environment,record\na,video,x\n\nb,video,x\n"
    assert read(table.encode(), Form.CSV).wrong == (Wrong(4, "record 'x' stands on line 2 already"),)


def test_twenty_mistakes_are_told_and_the_rest_counted() -> None:
    found = told([wish(number, priority=77) for number in range(50)])
    assert len(found.wrong) == 20
    assert found.more == 30


def test_more_requests_than_a_batch_may_have_are_refused() -> None:
    lines = b"\n".join(msgspec.json.encode(wish(number)) for number in range(MOST_REQUESTS + 1))
    for found in (read(lines, Form.LINES), read(b"[" + lines.replace(b"\n", b",") + b"]", Form.JSON)):
        assert [one.line for one in found.wrong] == [0]
        assert "more than 100000" in found.wrong[0].what
    table = b"address,environment,record\n" + b"a,video,x\n" * (MOST_REQUESTS + 1)
    assert "more than 100000" in read(table, Form.CSV).wrong[0].what


def test_a_body_beyond_the_cap_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_BYTES", 10)
    assert "more than 10" in read(b"[" * 11, Form.JSON).wrong[0].what


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"  ", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"null", b"\xff\xfe", b'[{"address":"\xff"}]'],
)
@pytest.mark.parametrize("form", list(Form))
def test_hopeless_bodies_are_told_in_one_line(body: bytes, form: Form) -> None:
    found = read(body, form)
    assert found.wishes == ()
    assert found.wrong
    assert "\n" not in found.wrong[0].what


@pytest.mark.parametrize(
    ("table", "line", "word"),
    [
        ("address,environment\na,video\n", 1, "'record' is missing"),
        ("address,environment,record,colour\n", 1, "unknown column"),
        ("address,environment,record,record\n", 1, "twice"),
        ("address,environment,record\na,video\n", 2, "2 cells"),
        ('address,environment,record\na,video,"x\n', 2, "cannot be read"),
        ("address,environment,record\n,video,x\n", 2, "address"),
        ("address,environment,record,priority\na,video,x,high\n", 2, "int"),
        ('address,environment,record\n"a\n",video,"x"\n', 3, "control"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_with_its_line(table: str, line: int, word: str) -> None:
    found = read(table.encode(), Form.CSV)
    assert [one.line for one in found.wrong] == [line]
    assert word in found.wrong[0].what


def test_the_form_is_known_by_media_type_or_by_the_files_name() -> None:
    assert form_of("application/json; charset=utf-8") is Form.JSON
    assert form_of("TEXT/CSV") is Form.CSV
    assert form_of("application/octet-stream", "List.CSV") is Form.CSV
    assert form_of("image/png", "x") is None


@given(st.binary(max_size=400), st.sampled_from(list(Form)))
def test_any_bytes_give_wishes_or_mistakes(body: bytes, form: Form) -> None:
    found = read(body, form)
    assert bool(found.wishes) != bool(found.wrong)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*intake._FIELDS, "x"]), inner),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_gives_wishes_or_mistakes(value: Any) -> None:
    found = read(msgspec.json.encode(value), Form.JSON)
    assert bool(found.wishes) != bool(found.wrong)


_TEXTS = st.text(min_size=1, max_size=20)
_WISHES = st.builds(
    Wish,
    address=_TEXTS,
    environment=st.from_regex(r"[a-z0-9][a-z0-9-]{0,5}", fullmatch=True),
    record=_TEXTS,
    priority=st.integers(-1, 10),
    deadline=st.none() | st.datetimes(timezones=st.just(UTC)),
    thumbnails=st.lists(st.integers(16, 4000), max_size=5).map(tuple),
    tags=st.lists(_TEXTS, max_size=3).map(tuple),
    latitude=st.none() | st.floats(-100, 100),
    longitude=st.none() | st.floats(-200, 200),
)


@given(st.lists(_WISHES, min_size=1, max_size=6, unique_by=lambda one: one.record))
def test_what_is_looked_at_in_bulk_is_judged_as_each_alone_would_be(wishes: list[Wish]) -> None:
    alone = [intake._passes(one) for one in wishes]
    found = read(msgspec.json.encode(wishes), Form.JSON)
    assert [one.line for one in found.wrong] == [line for line, what in enumerate(alone, 1) if what is not None]
    if not any(alone):
        assert list(found.wishes) == wishes
        for one in found.wishes:
            check(one)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])  # most wishes fail a check
@given(st.lists(_WISHES.filter(lambda one: intake._passes(one) is None), min_size=1, max_size=4))
def test_a_table_says_what_json_says(wishes: list[Wish]) -> None:
    wishes = [msgspec.structs.replace(one, record=f"r{at}", tags=()) for at, one in enumerate(wishes)]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(intake._FIELDS)
    for one in wishes:
        plain = msgspec.to_builtins(msgspec.structs.asdict(one))
        row = [plain[name] for name in intake._FIELDS]
        writer.writerow(["|".join(map(str, cell)) if isinstance(cell, (list, tuple)) else cell for cell in row])
    assert list(read(stream.getvalue().encode(), Form.CSV).wishes) == wishes


def test_a_time_with_a_zone_keeps_its_moment() -> None:
    found = told([wish(taken="2026-11-20T10:00:00+08:00")])
    assert found.wishes[0].taken == datetime(2026, 11, 20, 2, tzinfo=UTC)
    assert (found.wishes[0].taken or datetime.min).utcoffset() == timedelta(hours=8)
