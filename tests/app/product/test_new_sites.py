from __future__ import annotations

import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery_sites import environment
from isthmus.app import soundness
from isthmus.app.product.newsite import make_site
from isthmus.app.product.questions import ROLES, following, questions, settings_of, wrong
from isthmus.app.product.tomledit import Setting, with_settings
from isthmus.core.errors import ConfigError
from isthmus.core.progress import silent
from isthmus.faces.cli.main import run
from isthmus.transfer.signing import SigningKey

KEY = str(SigningKey.create().public)
GIVEN = {
    "site.name": "north",
    "site.timezone": "Asia/Shanghai",
    "acquire.host": "0.0.0.0",
    "acquire.server.public_url": "https://images.example:8480",
    ".hosts": "a.example b.example",
    "gate.trust": KEY,
    "gallery.extractor": "none",
    "ice.stun": "stun:stun.example:3478",
    "recovery.peer": "south",
    "recovery.road": "http",
    "recovery.in_place": "https://south.example:8490/v1/carry/out",
    "recovery.trust": KEY,
    "recovery.token_file": "keys/token",
    ".console": "yes",
}


def answered(role: str, given: dict[str, str]) -> dict[str, str]:
    answers: dict[str, str] = {}
    while (question := following(role, answers)) is not None:
        answer = given.get(question.name, question.default)
        assert not wrong(question, answer), (question, answer)
        answers[question.name] = answer
    return answers


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("given", [{"recovery.peer": "south"}, GIVEN], ids=["by enter", "with answers"])
def test_what_is_answered_makes_a_sound_toml_that_holds_it(
    tmp_path: Path, role: str, given: dict[str, str]
) -> None:
    answers = answered(role, given)
    path, _ = make_site(tmp_path / "site", role, None, answers)
    told = tomllib.loads(path.read_text())
    for one in settings_of(answers, role):
        table = told
        for part in one.table.split("."):
            table = table[part]
        assert table[one.key] == one.value
    assert told["site"]["name"] == given.get("site.name", "site")
    assert ("console" in told) == (answers[".console"] == "yes")
    if role == "agent" and ".hosts" in given:
        assert told["agent"]["allow"][0]["hosts"] == ["a.example", "b.example"]
    try:
        soundness.check(path, silent)
    except ConfigError as error:  # what only a file can mend that a person brings
        assert all("cannot be used" in str(one) or "nobody is trusted" in str(one) for one in error.mistakes), (
            error
        )


@given(st.sampled_from(list(ROLES)), st.data())
def test_no_order_of_answers_asks_twice_or_without_end(role: str, data: st.DataObject) -> None:
    answers: dict[str, str] = {}
    while (question := following(role, answers)) is not None:
        assert question.name not in answers
        choices = question.choices or (question.default or "x", "0.0.0.0", "https://a/b", "")
        answers[question.name] = data.draw(st.sampled_from(choices))
        assert len(answers) < 40
    assert len({one.name for one in questions(role, answers)}) == len(questions(role, answers))


TEXT = """# A site

[site]
name = "a"               # who it is

# of the gate
[gate]
# key = "b"              # signs
folder = "c"
[[agent.allow]]
hosts = []
"""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["site", "gate", "sync", "acquire.server"]),
            st.sampled_from(["name", "key", "folder", "other"]),
            st.one_of(st.text(st.characters(codec="utf-8", exclude_characters="\x7f")), st.integers(0, 9)),
        ),
        max_size=6,
    )
)
def test_keys_are_set_and_all_else_stays(settings: list[tuple[str, str, object]]) -> None:
    text = with_settings(TEXT, [Setting(*one) for one in settings])
    told = tomllib.loads(text)
    for (table, key), value in {(table, key): value for table, key, value in settings}.items():
        held = told
        for part in table.split("."):
            held = held[part]
        assert held[key] == value
    assert "# A site" in text
    assert "# of the gate\n[gate]" in text
    assert "# who it is" in text
    assert told["agent"]["allow"] == [{"hosts": []}]


@pytest.mark.parametrize(
    ("name", "answer"),
    [("site.name", "a b"), ("site.timezone", "Mars/Base"), ("acquire.port", "70000"), ("acquire.port", "x"),
     ("acquire.server.public_url", "images"), (".console", "perhaps"), ("site.name", "")],
)  # fmt: skip
def test_what_will_not_do_is_told_before_anything_is_written(name: str, answer: str) -> None:
    [question] = [one for one in questions("acquire", {}) if one.name == name]
    assert wrong(question, answer)


def test_without_a_terminal_the_role_has_to_be_given(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123 - a device
        before = os.dup(0)
        os.dup2(nothing.fileno(), 0)
        try:
            assert run(["init", str(tmp_path / "new")]) == 2
        finally:
            os.dup2(before, 0)
            os.close(before)
    assert "give --role, one of loop, acquire" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_console_is_there_for_the_asking(tmp_path: Path) -> None:
    for role in ROLES:
        assert run(["init", str(tmp_path / role), "--role", role, "--console"]) == 0
        assert "console" in tomllib.loads((tmp_path / role / "isthmus.toml").read_text())


def test_a_terminal_is_asked(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    site = tmp_path / "north"
    with subprocess.Popen(
        [sys.executable, "-m", "isthmus", "init", str(site)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        close_fds=True,
    ) as asked:
        os.close(theirs)
        told = ""
        answers = ["9", "primary", "", "Europe/Berlin", "south", "", "", "", "nonsense", KEY, "", "8500"]
        for answer in answers:  # it asks, a line ends in ": " or "]: "
            while not told.endswith(": "):
                told += os.read(ours, 1000).decode()
            os.write(ours, f"{answer}\n".encode())
            told = told.rstrip() + "\n"
        try:
            while more := os.read(ours, 1000).decode():
                told += more
        except OSError:  # the terminal is gone with its last process
            pass
        assert asked.wait(60) == 0, told
    os.close(ours)
    toml = tomllib.loads((site / "isthmus.toml").read_text())
    assert toml["site"] == {"name": "north", "timezone": "Europe/Berlin"}
    assert toml["recovery"]["peer"] == "south"
    assert toml["recovery"]["trust"] == [KEY]
    assert toml["console"]["port"] == 8500
    assert "a number from 1 to 8" in told
    assert "write it as it is shown there" in told
    assert (site / "keys" / "recovery.pem").exists()
