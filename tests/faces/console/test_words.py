"""Every text of the pages stands in both languages, and nowhere but in the words' files."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path

import pytest

from isthmus.faces import console
from isthmus.faces.console.words import FOLDER, Words, _all_texts

HERE = Path(console.__file__).parent
TEMPLATES = sorted((HERE / "templates").glob("*.html"))
MODULES = sorted([*HERE.glob("*.py"), *(HERE / "pages").glob("*.py")])
_JINJA = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
_TAG = re.compile(r"<[^>]*>", re.DOTALL)
_TYPED = re.compile(r"<(code|kbd)\b.*?</\1>", re.DOTALL)
"""What is typed, commands and keys, is the same in every language; so are abbreviations in capitals."""
_SPOKEN = re.compile(r'\b(?:aria-label|title|alt|placeholder|summary|value)="([^"]*[A-Za-z]{2}[^"]*)"')
_USED = re.compile(r"\bt(?:\.known)?\(\s*[\"']([a-z0-9.-]+)[\"']\s*[,)]")
_SAME = {"Isthmus", "English", "中文"}


def names(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_every_word_stands_in_both_languages_with_the_same_places(file: Path) -> None:
    tomllib.loads(file.read_text("utf-8"))
    for name, (english, chinese) in _all_texts().items():
        if name.partition(".")[0] != file.stem:
            continue
        assert english.strip(), name
        assert chinese.strip(), name
        assert names(english) == names(chinese), name
        assert not re.search(r"[\u4e00-\u9fff]", english) or english in _SAME, name
    assert Words("zh").language == "zh"


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_text_stands_in_a_template(file: Path) -> None:
    bare = _JINJA.sub(" ", file.read_text("utf-8"))
    assert _SPOKEN.findall(_without_values(bare)) == []
    spoken = re.sub(r"&#?\w+;", " ", _TAG.sub(" ", _TYPED.sub(" ", bare)))
    texts = re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", spoken)
    assert [text for text in texts if text not in _SAME and not text.isupper()] == []


def _without_values(text: str) -> str:
    """Leave out values of fields that nobody reads: those of hidden ones, of choices and of buttons."""
    return re.sub(r"<(?:input|option|button|meta|param)\b[^>]*>", " ", text)


@pytest.mark.parametrize("file", [*TEMPLATES, *MODULES], ids=lambda file: file.name)
def test_every_word_that_a_page_uses_is_there(file: Path) -> None:
    known = _all_texts()
    used = set(_USED.findall(file.read_text("utf-8")))
    assert sorted(name for name in used if "." in name and name not in known) == []


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_template_has_a_script_or_style_of_its_own_or_loads_from_elsewhere(file: Path) -> None:
    whole = re.sub(r"\{#.*?#\}", "", file.read_text("utf-8"), flags=re.DOTALL)
    text = _JINJA.sub("·", whole)
    assert not re.search(r"<style\b", text)
    assert not re.search(r"\sstyle\s*=", text)
    assert not re.search(r"\son[a-z]+\s*=", text)
    assert not re.search(r"\bhx-on", text)
    assert not re.search(r"javascript:", text)
    assert not re.search(r"(?:src|href|action)=[\"']?(?:https?:)?//", text)
    assert all("src=" in tag for tag in re.findall(r"<script\b[^>]*>", text))


def test_what_the_pages_load_comes_from_the_package_alone() -> None:
    for file in (HERE / "static").rglob("*"):
        if file.suffix in (".js", ".css") and ".min." not in file.name:
            text = file.read_text("utf-8")
            assert not re.search(r"https?://(?!www\.w3\.org/)", text), file.name
            assert not re.search(r"\beval\(|new Function\(|\.innerHTML\s*=|document\.write", text), file.name
    for library in ("htmx", "uplot"):
        assert "Permission" in (HERE / "static" / f"{library}.LICENSE.md").read_text("utf-8")
