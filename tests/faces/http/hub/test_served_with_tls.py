"""The command that serves the console, as a process: what it refuses to begin with, and TLS of its own."""

from __future__ import annotations

import datetime
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from console_certificates import certificate
from isthmus.app.clock import SystemClock
from isthmus.app.people.access import Access
from isthmus.app.people.person import Role
from people_making import PASSWORD, SHELL, hashed

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
BEYOND = (
    '[site]\nname = "x"\n[console]\nhost = "0.0.0.0"\nport = 0\ntls_certificate = "one.crt"\ntls_key = "one.key"\n'
)


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "isthmus", "--site", str(folder), "serve", "console"]


def refused(folder: Path) -> tuple[int, list[str]]:
    done = subprocess.run(command(folder), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a site by a process of its own; yields its address."""
    child = subprocess.Popen(command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        found = re.fullmatch(r"serving (\S+)\n", child.stdout.readline())
        assert found, child.communicate()[1]
        yield found[1]
    finally:
        child.send_signal(signal.SIGTERM)
        said = child.communicate(timeout=60)[1]
    assert child.returncode == 0, said
    assert "Traceback" not in said and PASSWORD not in said


def add_ada(folder: Path) -> None:
    with Access(folder / "state/console/people.sqlite", SystemClock()) as access:
        access.people.add("ada", Role.ADMIN, hashed(), SHELL)


def test_beyond_loopback_it_does_not_begin_before_somebody_is_known(tmp_path: Path) -> None:
    certificate(tmp_path, NOW - DAY, NOW + DAY)
    (tmp_path / "isthmus.toml").write_text(BEYOND)
    code, said = refused(tmp_path)
    assert code == 6 and len(said) == 1
    assert "nobody is known here yet" in said[0] and "isthmus user add NAME --role admin" in said[0]


@pytest.mark.parametrize("what", ["expired on", "one.crt and", "one.crt cannot be read"])
def test_a_certificate_that_cannot_be_used_is_told_in_one_line_before_anything_is_served(
    tmp_path: Path, what: str
) -> None:
    if what == "expired on":
        certificate(tmp_path, NOW - 2 * DAY, NOW - DAY)
    elif what == "one.crt and":
        certificate(tmp_path, NOW - DAY, NOW + DAY)
        (tmp_path / "one.key").write_text("")
    (tmp_path / "isthmus.toml").write_text(BEYOND)
    add_ada(tmp_path)
    code, said = refused(tmp_path)
    assert code == 2 and len(said) == 1 and what in said[0]


def test_over_tls_of_its_own_one_logs_in_and_stays_so_over_a_restart(tmp_path: Path) -> None:
    pair = certificate(tmp_path, NOW - DAY, NOW + 90 * DAY)
    (tmp_path / "isthmus.toml").write_text(BEYOND.replace('"0.0.0.0"', '"127.0.0.1"'))
    add_ada(tmp_path)
    trust = ssl.create_default_context(cafile=pair[0])
    with httpx.Client(verify=trust, trust_env=False) as client:
        with serving(tmp_path) as url:
            assert url.startswith("https://127.0.0.1:")
            form = {"name": "ada", "password": PASSWORD}
            wrong = client.post(f"{url}/login", data=form, headers={"origin": url.replace("https", "http")})
            assert wrong.status_code == 403
            done = client.post(f"{url}/login", data=form, headers={"origin": url})
            assert done.status_code == 303
            cookie = done.headers["set-cookie"]
            assert cookie.startswith("__Host-isthmus_") and "; Secure" in cookie
            assert client.get(f"{url}/v1/session").json()["name"] == "ada"
        with Access(tmp_path / "state/console/people.sqlite", SystemClock()) as access:
            assert access.people.hashed("ada").startswith("$argon2id$v=19$m=65536"), "renewed by the login"
        with serving(tmp_path) as url:
            assert client.get(f"{url}/v1/session").json()["name"] == "ada"
            with Access(tmp_path / "state/console/people.sqlite", SystemClock()) as access:
                access.end_sessions("ada", SHELL)
            assert client.get(f"{url}/v1/session").status_code == 401
    folder = tmp_path / "state/console"
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.glob("people*"))} == {0}
