from __future__ import annotations

import datetime
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_certificates import certificate
from isthmus.app.console import (
    ConsolePart,
    check_console,
    is_loopback,
    need_leave_to_listen,
    read_console_config,
    why_not_listen,
)
from isthmus.app.soundness import check
from isthmus.app.tls import check_tls
from isthmus.core.errors import ConfigError, InputError, Refused
from isthmus.core.progress import silent

NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
TLS = ConsolePart(host="0.0.0.0", tls_certificate="c.pem", tls_key="k.pem")
PROXIED = ConsolePart(public_url="https://isthmus.example")


def written(folder: Path, text: str) -> Path:
    path = folder / "isthmus.toml"
    path.write_text('[site]\nname = "x"\n' + text)
    return path


# where it may listen


@pytest.mark.parametrize("part", [TLS, PROXIED], ids=["by itself", "through a proxy"])
def test_nothing_listens_beyond_loopback_until_somebody_is_known(part: ConsolePart) -> None:
    assert "nobody is known" in why_not_listen(part, somebody=False)
    with pytest.raises(Refused, match="isthmus user add"):
        need_leave_to_listen(part, somebody=False)
    need_leave_to_listen(part, somebody=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_on_loopback_it_listens_before_anybody_is_known(host: str) -> None:
    assert why_not_listen(ConsolePart(host=host), somebody=False) == ""


@given(st.one_of(st.ip_addresses().map(str), st.text(max_size=20)))
def test_whatever_the_host_beyond_loopback_wants_tls_and_somebody_known(host: str) -> None:
    try:
        part = ConsolePart(host=host)
    except ValueError as error:
        assert not is_loopback(host) and "beyond loopback" in str(error)
        assert why_not_listen(ConsolePart(host, tls_certificate="c", tls_key="k"), somebody=False)
    else:
        assert is_loopback(host) and why_not_listen(part, somebody=False) == ""


def test_on_loopback_it_answers_to_loopbacks_names_and_the_public_one_alone() -> None:
    assert ConsolePart().names == ("localhost", "127.0.0.1", "::1")
    assert PROXIED.names[-1] == "isthmus.example"
    assert TLS.names == ()


def test_cookies_are_secure_where_browsers_reach_it_by_https() -> None:
    assert not ConsolePart().secure and TLS.secure and PROXIED.secure


# what the TOML may say


def test_a_site_may_be_a_console_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "[console]\n")
    config = read_console_config(path)
    assert config.asked and config.console == ConsolePart()
    assert config.people_file == tmp_path / "state" / "console" / "people.sqlite"
    assert check(path, silent).what == "a console at http://127.0.0.1:8460"


def test_a_site_without_the_table_has_its_defaults_and_says_so(tmp_path: Path) -> None:
    config = read_console_config(written(tmp_path, ""))
    assert not config.asked and config.console == ConsolePart()


def test_other_sites_are_named_relative_to_the_toml_and_this_one_comes_first(tmp_path: Path) -> None:
    path = written(tmp_path, '[console]\nsites = ["../b/isthmus.toml", "../b/isthmus.toml"]\nstate = "kept"\n')
    config = read_console_config(path)
    assert config.sites == (path, (tmp_path / "../b/isthmus.toml").resolve())
    assert config.state_folder == tmp_path / "kept"
    with pytest.raises(InputError, match="no site at"):
        check_console(path)


def test_another_site_may_be_named_by_its_folder_as_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    path = written(tmp_path, '[console]\nsites = ["b"]\n')
    assert read_console_config(path).sites == (path, (tmp_path / "b" / "isthmus.toml").resolve())


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ('host = "0.0.0.0"', "beyond loopback", 3),
        ('tls_key = "k.pem"', "go together", 3),
        ('proxies = ["10.0.0.1/99"]', "no address or network", 3),
        ('proxies = ["10.0.0.1/8"]', "no address or network", 3),
        ('public_url = "isthmus.example"', "write a scheme and a name", 4),
        ('public_url = "https://isthmus.example/console"', "write a scheme and a name", 4),
        ('public_url = "ftp://isthmus.example"', "write a scheme and a name", 4),
        ("port = 70000", "0 to 65535", 4),
        ("session_hours = 0", "session_hours is 0", 4),
        ("sesion_hours = 2", "did you mean 'session_hours'", 4),
        ('port = 8480\n[acquire]\n', "port 8480 is that of [acquire] too", 4),
        ('port = 9\n[sync]\nport = 9\n', "port 9 is that of [sync] too", 4),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, what: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        read_console_config(written(tmp_path, f"[console]\n{text}\n"))
    (mistake,) = caught.value.mistakes
    assert what in mistake.what and mistake.line == line


# TLS


def test_a_good_certificate_is_taken_and_its_end_is_foretold(tmp_path: Path) -> None:
    pair = certificate(tmp_path, NOW - DAY, NOW + 365 * DAY)
    assert check_tls(*pair, NOW) == []
    assert check_tls(*pair, NOW + 360 * DAY) == [f"{pair[0]} expires in 5 days"]


def test_a_key_that_others_can_read_is_noted(tmp_path: Path) -> None:
    pair = certificate(tmp_path, NOW - DAY, NOW + 365 * DAY)
    Path(pair[1]).chmod(0o644)
    assert check_tls(*pair, NOW) == [f"{pair[1]} can be read by others than its owner: chmod go-rwx {pair[1]}"]


def test_every_way_in_which_a_certificate_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    good = certificate(tmp_path, NOW - DAY, NOW + DAY)
    other = certificate(tmp_path, NOW - DAY, NOW + DAY, "other")
    locked = certificate(tmp_path, NOW - DAY, NOW + DAY, "locked", b"secret")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    for pair, moment, what in (
        ((good[0], str(tmp_path / "none.key")), NOW, "cannot be read: No such file"),
        ((good[0], str(tmp_path)), NOW, "cannot be read"),
        ((good[0], other[1]), NOW, "the key of another certificate"),
        (locked, NOW, "locked by a passphrase"),
        ((str(garbage), good[1]), NOW, "cannot be used"),
        ((good[1], good[1]), NOW, "cannot be used"),
        (good, NOW + DAY, "expired on 2026-05-02"),
        (good, NOW - 2 * DAY, "is valid from 2026-04-30"),
    ):
        with pytest.raises(InputError) as caught:
            check_tls(*pair, moment)
        assert what in str(caught.value) and "\n" not in str(caught.value), what


def test_checking_a_console_checks_its_certificate(tmp_path: Path) -> None:
    certificate(tmp_path, NOW - DAY, NOW + DAY)
    text = '[console]\nhost = "0.0.0.0"\ntls_certificate = "one.crt"\ntls_key = "gone.key"\n'
    with pytest.raises(InputError, match=r"gone\.key cannot be read"):
        check_console(written(tmp_path, text))


def test_reading_the_settings_imports_no_server_and_no_hashing() -> None:
    import subprocess

    code = (
        "import sys; import isthmus.app.console, isthmus.app.people.access, isthmus.faces.cli.people;"
        "print(sorted({'argon2', 'starlette', 'cryptography', 'jinja2', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
