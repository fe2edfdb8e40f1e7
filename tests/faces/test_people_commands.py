from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.app.clock import SystemClock
from isthmus.app.people.access import Access
from isthmus.app.people.passwords import Passwords
from isthmus.app.people.person import Role
from isthmus.faces.cli.main import run
from people_making import PASSWORD, Counting

OTHER = "another of twelve signs"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.app.people.passwords._argon2", Counting)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "isthmus.toml").write_text('[site]\nname = "x"\n[console]\n')
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], site: Path, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(["--site", str(site), *words]) == code
    said = capsys.readouterr()
    return said.out + said.err


def add(capsys: pytest.CaptureFixture[str], site: Path, name: str, role: str) -> None:
    told(capsys, site, "user", "add", name, "--role", role, "--password-file", str(site / "password"))


def opened(site: Path) -> Access:
    return Access(site / "state" / "console" / "people.sqlite", SystemClock())


def test_users_are_added_changed_listed_and_removed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(capsys, site, "Ada", "admin")
    add(capsys, site, "bob", "viewer")
    told(capsys, site, "user", "role", "bob", "operator")
    listed = told(capsys, site, "user", "list").splitlines()
    assert [line.split("\t")[:2] for line in listed] == [["name", "role"], ["ada", "admin"], ["bob", "operator"]]
    told(capsys, site, "user", "remove", "bob")
    assert "bob" not in told(capsys, site, "user", "list")
    assert "last admin" in told(capsys, site, "user", "remove", "ada", code=6)
    assert "last admin" in told(capsys, site, "user", "role", "ada", "viewer", code=6)
    assert "no user 'eve'" in told(capsys, site, "user", "role", "eve", "viewer", code=2)
    assert "already" in told(
        capsys, site, "user", "add", "ADA", "--role", "viewer", "--password-file", str(site / "password"), code=2
    )


def test_a_password_is_set_from_a_file_and_ends_sessions(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(capsys, site, "ada", "admin")
    with opened(site) as access:
        token = access.enter("ada", "10.0.0.1")
    (site / "new").write_text(OTHER)
    told(capsys, site, "user", "password", "ada", "--password-file", str(site / "new"))
    with opened(site) as access:
        assert access.sessions.person(token) is None
        assert Passwords(Counting()).fits(access.people.hashed("ada"), OTHER)
        token = access.enter("ada", "10.0.0.1")
    assert "1 session of ada ended" in told(capsys, site, "user", "logout", "ada")
    with opened(site) as access:
        assert access.sessions.person(token) is None


def test_a_weak_or_unreadable_password_file_changes_nothing(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "weak").write_text("short\n")
    (site / "binary").write_bytes(b"\xff\xfe\x00")
    for file, what in (("weak", "12 or more"), ("binary", "no text"), ("missing", "cannot be read")):
        words = ("user", "add", "ada", "--role", "admin", "--password-file", str(site / file))
        assert what in told(capsys, site, *words, code=2)
    assert "no terminal" in told(capsys, site, "user", "add", "ada", "--role", "admin", code=2)
    assert "ada" not in told(capsys, site, "user", "list")


def typed(site: Path, *lines: str) -> tuple[int, str]:
    """Run `user add ada` on a terminal and type lines as asked; return its code and the screen."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "isthmus", "--site", str(site), "user", "add", "ada", "--role", "admin"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen, waiting = b"", list(lines)
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        screen += piece
        if piece.rstrip().endswith(b":") and waiting:
            os.write(ours, waiting.pop(0).encode() + b"\n")
    os.close(ours)
    return child.wait(timeout=30), screen.decode()


def test_on_a_terminal_the_password_is_asked_for_twice_and_never_shown(site: Path) -> None:
    code, screen = typed(site, PASSWORD, PASSWORD)
    assert code == 0 and "ada may log in" in screen and PASSWORD not in screen
    with opened(site) as access:
        assert Passwords().fits(access.people.hashed("ada"), PASSWORD)


def test_two_passwords_that_differ_make_no_user(site: Path) -> None:
    code, screen = typed(site, PASSWORD, OTHER)
    assert code == 2 and "differ" in screen and OTHER not in screen
    with opened(site) as access:
        assert access.people.members() == []


def test_a_password_on_the_command_line_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("user", "add", "ada", "--role", "admin", "--password", PASSWORD)
    said = told(capsys, site, *words, code=2)
    assert PASSWORD not in said
    assert "--password-file" in told(capsys, site, "user", "add", "--help")


def test_a_key_is_written_for_its_owner_alone_and_never_over_a_file(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = site / "ci.key"
    said = told(capsys, site, "key", "add", "ci", "--role", "operator", "--days", "30", "--out", str(out))
    text = out.read_text().strip()
    assert text not in said and stat.S_IMODE(out.stat().st_mode) == 0o600
    with opened(site) as access:
        person = access.keys.person(text)
        assert person is not None and person.role is Role.OPERATOR
    assert "is there already" in told(capsys, site, "key", "add", "two", "--out", str(out), code=2)
    gone = site / "no" / "such"
    gone.parent.write_text("a file where a folder should be")
    assert "cannot be made" in told(capsys, site, "key", "add", "two", "--out", str(gone), code=2)
    listed = told(capsys, site, "key", "list").splitlines()
    assert [line.split("\t")[0] for line in listed] == ["name", "ci"], "what nobody saw opens nothing"
    assert text not in "\n".join(listed) and text[:10] in listed[1]


def test_a_key_without_a_file_is_told_once_alone_on_the_output(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--site", str(site), "key", "add", "ci"]) == 0
    text = capsys.readouterr().out.strip()
    assert text.startswith("ish_")
    told(capsys, site, "key", "revoke", "ci")
    with opened(site) as access:
        assert access.keys.person(text) is None
    assert "ci" not in told(capsys, site, "key", "list")
    assert "ci" in told(capsys, site, "key", "list", "--all")


def test_the_audit_log_is_listed_and_verified(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(capsys, site, "ada", "admin")
    told(capsys, site, "key", "add", "ci")
    lines = told(capsys, site, "audit").splitlines()
    assert [line.split("\t")[3] for line in lines] == ["act", "user add", "key add"]
    assert all("@shell" in line and "command line" in line for line in lines[1:])
    assert told(capsys, site, "audit", "--after", "1").splitlines()[1].startswith("2\t")
    head = told(capsys, site, "audit", "--verify").splitlines()[0]
    told(capsys, site, "key", "revoke", "ci")
    assert "3 lines" in told(capsys, site, "audit", "--verify", "--since", head)
    with opened(site) as access, access._store.transaction() as own:
        own.execute("DROP TRIGGER trail_stays")
        own.execute("DELETE FROM trail WHERE number = 2")
    assert "line 2 is missing" in told(capsys, site, "audit", "--verify", code=5)
    assert "goes with --verify" in told(capsys, site, "audit", "--since", head, code=2)


def test_help_tells_api_keys_from_the_keys_of_a_toml(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, site, "--help")
    assert "API keys of programs" in said and "Explain every key of a site's TOML" in said
    assert "isthmus keys explains" in told(capsys, site, "key", "--help")
