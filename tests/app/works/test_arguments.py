"""Arguments of operations: every mistake is told, and no value ever becomes a flag, a path or another command."""

from __future__ import annotations

import shlex
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.works.arguments import MOST_BYTES, brought, checked, command_line, shown_line
from isthmus.core.errors import WrongArguments
from works_making import RECIPES

TELL = RECIPES["tell"]


def mistakes(files: dict[str, bytes] | None = None, **arguments: Any) -> tuple[str, ...]:
    with pytest.raises(WrongArguments) as caught:
        checked(TELL.operation, arguments, files or {})
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def line(files: dict[str, bytes] | None = None, **arguments: Any) -> list[str]:
    return command_line(TELL, checked(TELL.operation, arguments, files or {}))


def test_values_stand_in_the_word_of_their_flag_and_places_behind_two_dashes() -> None:
    assert line(name="--help", where="--debug", count=3, quick=True, share=0.5, set=["a=1", "-b"]) == [
        "tell", "--always", "--where=--debug", "--count=3", "--share=0.5", "--quick", "--set=a=1", "--set=-b",
        "--picture=scene.png", "--", "--help",
    ]  # fmt: skip


def test_what_is_left_out_empty_or_null_is_not_said() -> None:
    expected = ["tell", "--always", "--picture=scene.png", "--", "a"]
    assert line(name="a", where="", count=None, quick=False, set=["", None]) == expected


def test_texts_of_a_form_are_read_as_what_they_stand_for() -> None:
    found = checked(TELL.operation, {"name": "a", "count": "7", "share": "0.25", "quick": "on"}, {})
    assert found == {"name": "a", "count": 7, "share": 0.25, "quick": True}


def test_every_mistake_is_told_in_a_line_of_its_own() -> None:
    found = mistakes(
        where=["a", "b"], count="x", share="nan", form="xml", day="tomorrow", quick="perhaps", out="../a", nam="a"
    )
    assert found == (
        "tell takes no 'nam'; did you mean 'name'?",
        "name is needed: a name",
        "where takes one value, not 2",
        "count is no whole number: 'x'",
        "share is no number: 'nan'",
        "form is 'xml'; it may be csv, table",
        "day is no day or moment: 'tomorrow'; write 2026-11-20",
        "quick is 'perhaps'; it may be true or false",
        "out is no plain file name: '../a'; write one such as out.txt",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"count": 11}, "count is 11; it is at least 1 and at most 10"),
        ({"count": 0}, "count is 0; it is at least 1 and at most 10"),
        ({"count": True}, "count is no whole number: True"),
        ({"count": 1.5}, "count is no whole number: 1.5"),
        ({"count": "1" * 19}, "count is no whole number: '1111111111111111111'"),
        ({"share": float("inf")}, "share is no number: inf"),
        ({"where": "a\0b"}, "where holds a zero byte"),
        ({"where": "\ud800"}, "where is no Unicode text: it holds half of a surrogate pair"),
        ({"where": "x" * (MOST_BYTES + 1)}, "where has 100,001 bytes; at most 100,000 are taken"),
        ({"where": {"a": 1}}, "where is no text"),
        ({"set": ["a"] * 1001}, "set takes at most 1000 values"),
        ({"out": "stdout.txt"}, "out is no plain file name: 'stdout.txt'; write one such as out.txt"),
        ({"photo": "a.jpg"}, "the file 'a.jpg' did not come with the call"),
        ({"set": ["x" * 90_000] * 12}, "the arguments together are longer than 1,000,000 bytes"),
    ],
)
def test_a_mistake_says_what_is_wrong(arguments: dict[str, Any], told: str) -> None:
    assert mistakes(name="a", **arguments) == (told,)


def test_files_that_nothing_asks_for_are_refused() -> None:
    assert mistakes({"a.jpg": b""}, name="a") == ("no parameter asks for the file 'a.jpg'",)


def test_one_file_is_named_by_one_parameter() -> None:
    assert mistakes({"a.jpg": b""}, name="a", photo="a.jpg", folder=["a.jpg"]) == (
        "the file 'a.jpg' is named twice",
    )


def test_a_place_after_one_that_is_left_out_is_refused() -> None:
    assert "more can be given only with name" not in mistakes(more=["b"])  # for name is needed anyway
    assert line(name="a", more=["b", "-c"])[-4:] == ["--", "a", "b", "-c"]


def test_files_are_named_from_where_the_command_runs() -> None:
    words = line({"a.jpg": b"", "d/b.jpg": b""}, name="a", photo="a.jpg", folder=["d/b.jpg"], out="o.csv")
    assert "--photo=../in/photo/a.jpg" in words
    assert "--folder=../in/folder" in words
    assert "--out=o.csv" in words


def test_the_command_that_is_shown_names_files_as_the_caller_does() -> None:
    values = checked(TELL.operation, {"name": "a b", "photo": "a.jpg"}, {"a.jpg": b""})
    assert shown_line(TELL, values, "/site.toml") == (
        "isthmus --site /site.toml tell --always --photo=a.jpg --picture=scene.png 'a b'"
    )


@pytest.mark.parametrize(
    "name",
    [
        "../a",
        "a/../b",
        "/a",
        "a//b",
        "",
        ".",
        "..",
        ".a",
        "a/.b",
        "-a",
        "a/-b",
        "~a",
        "a\0",
        "a\nb",
        "a\\b",
        "x" * 201,
    ],
)
def test_a_name_that_leads_elsewhere_cannot_be_brought(name: str) -> None:
    assert not brought(name)


@given(st.text())
def test_a_name_that_can_be_brought_stays_below_its_folder(name: str) -> None:
    parts = name.split("/")
    if brought(name):
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(parts)
        assert "\0" not in name


@click.command("tell")
@click.argument("name")
@click.argument("more", nargs=-1)
@click.option("--always", is_flag=True)
@click.option("--where")
@click.option("--count", type=int)
@click.option("--share", type=float)
@click.option("--form")
@click.option("--day")
@click.option("--quick", is_flag=True)
@click.option("--set", "several", multiple=True)
@click.option("--photo")
@click.option("--folder")
@click.option("--out")
@click.option("--picture")
@click.pass_context
def _tell(ctx: click.Context, **values: Any) -> None:
    ctx.obj.append(values)


_TEXT = st.one_of(
    st.text(min_size=1).filter(lambda text: "\0" not in text),
    st.sampled_from(
        ["--help", "--debug", "-h", "--", "-", "--where=x", "--quick", "$(id)", "; id", "--site=/x", "@f"]
    ),
)


@given(
    name=_TEXT,
    more=st.lists(_TEXT, max_size=4),
    where=_TEXT,
    several=st.lists(_TEXT, max_size=4),
    quick=st.booleans(),
)
def test_what_a_command_reads_is_what_the_caller_said(
    name: str, more: list[str], where: str, several: list[str], quick: bool
) -> None:
    given = {"name": name, "more": more, "where": where, "set": several, "quick": quick}
    words = command_line(TELL, checked(TELL.operation, given, {}))
    found: list[dict[str, Any]] = []
    _tell.main(words[1:], obj=found, standalone_mode=False)
    (read,) = found
    assert (read["name"], list(read["more"]), read["where"]) == (name, more, where)
    assert (list(read["several"]), read["quick"], read["always"]) == (several, quick, True)


@given(name=_TEXT, where=_TEXT)
def test_the_command_that_is_shown_means_the_same_in_a_shell(name: str, where: str) -> None:
    values = checked(TELL.operation, {"name": name, "where": where}, {})
    words = shlex.split(shown_line(TELL, values, "/a site/isthmus.toml"))
    assert words[:4] == ["isthmus", "--site", "/a site/isthmus.toml", "tell"]
    found: list[dict[str, Any]] = []
    _tell.main(words[4:], obj=found, standalone_mode=False)
    assert (found[0]["name"], found[0]["where"]) == (name, where)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([one.name for one in TELL.operation.parameters]) | st.text(), _JSON))
def test_whatever_is_given_is_taken_or_told_to_be_wrong(given: dict[str, Any]) -> None:
    try:
        values = checked(TELL.operation, given, {})
    except WrongArguments as error:
        assert error.mistakes
        assert all(error.mistakes)
        return
    words = command_line(TELL, values)
    before = words[: words.index("--")]
    flags = {one.flag for one in TELL.operation.parameters if one.flag} | {"--always"}
    assert words[0] == "tell"
    assert all(word.partition("=")[0] in flags for word in before[1:])
