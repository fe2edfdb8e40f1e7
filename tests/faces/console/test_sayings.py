"""Sentences of the product are said in Chinese as a whole or not at all, and never a wrong one for another."""

from __future__ import annotations

import string
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import UnknownName, suggestion
from isthmus.faces.console.sayings import FILE, kinds, said
from isthmus.transfer.alarm import Kind

SENTENCES = [tuple(one) for one in tomllib.loads(FILE.read_text("utf-8"))["sentence"]["pairs"]]


def places(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.mark.parametrize(("english", "chinese"), SENTENCES, ids=[one[0][:60] for one in SENTENCES])
def test_each_kind_carries_its_values_over_and_is_found_by_its_own_text(english: str, chinese: str) -> None:
    assert set(places(chinese)) <= set(places(english))
    values = {name: f"v{number}.7" for number, name in enumerate(places(english))}
    answer = said(english.format_map(values), "zh")
    assert answer is not None
    assert all(values[name] in answer for name in places(chinese))


def test_no_kind_is_so_loose_that_it_takes_any_sentence() -> None:
    for english, _ in SENTENCES:
        fixed = sum(len(text) for text, *_ in string.Formatter().parse(english))
        words_alone = all(name.endswith("_id") for name in places(english))
        assert fixed >= 7 or words_alone or not places(english), english


@given(st.text())
def test_any_text_is_taken_and_english_stays_as_it_is(text: str) -> None:
    assert said(text, "en") == text
    answer = said(text, "zh")
    assert answer is None or isinstance(answer, str)


@given(st.lists(st.sampled_from(["begin at the start of it", "see what is missing", "a new thing"]), min_size=1))
def test_sentences_are_joined_only_where_each_is_known(parts: list[str]) -> None:
    answer = said("; ".join(parts), "zh")
    assert (answer is None) is ("a new thing" in parts)
    if answer is not None:
        assert answer.count("；") == len(parts) - 1


def test_every_alarm_says_what_to_do_in_chinese() -> None:
    for kind in Kind:
        for commands in ("isthmus gate", "isthmus recovery", "isthmus acquire gate"):
            answer = said(kind.value.replace("isthmus gate", commands), "zh")
            assert answer is not None, kind
            assert ("isthmus" in kind.value) is (commands in answer)


def test_names_that_nobody_knows_are_told_with_what_they_were_taken_for() -> None:
    error = UnknownName.among("device", "it's", ["it", "that"])
    assert said(str(error), "zh") is not None
    assert said(suggestion("q", ["a", "b"]), "zh") == "已有：a, b"
    assert len(kinds()) == len(SENTENCES)
