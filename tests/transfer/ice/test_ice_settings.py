"""What a site says of ICE, and where its TURN credential comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.core.errors import ConfigError, InputError
from isthmus.core.settings import Reader
from isthmus.transfer.ice.settings import IceSettings, is_loopback

TURN = IceSettings(turn="turn:turn.example.org", turn_user="device", turn_credential_env="SITE_TURN")


def read(text: str) -> IceSettings | None:
    reader = Reader(text, "site.toml")
    found = reader.read(IceSettings, reader.root.get("ice", {}), ("ice",))
    reader.finish()
    return found


def test_a_site_that_says_nothing_uses_no_server() -> None:
    settings = read("")
    assert settings == IceSettings()
    assert settings.turn_credential() is None


def test_a_site_names_its_servers_and_where_the_credential_is() -> None:
    settings = read(
        '[ice]\nstun = "stun:stun.example.org:3478"\nturn = "turn:turn.example.org?transport=udp"\n'
        'turn_user = "device"\nturn_credential_file = "turn-credential"\nrelay_only = true\nengine = "aiortc"\n'
    )
    assert settings is not None
    assert (settings.relay_only, settings.engine) == (True, "aiortc")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('stun = "https://stun.example.org"', "stun must begin with stun:"),
        ('turn = "turn.example.org"', "turn must begin with turn:"),
        ('turn = "turn:turn.example.org"', "turn needs turn_user"),
        ('turn = "turn:turn.example.org"\nturn_user = "device"', "needs one of turn_credential_file"),
        (
            'turn = "turn:h"\nturn_user = "d"\nturn_credential_file = "a"\nturn_credential_env = "B"',
            "needs one of turn_credential_file",
        ),
        ("relay_only = true", "relay_only needs turn"),
        ('engine = "aiolibdatachannel"', "engine"),
        ('turn_credential = "secret"', "unknown key 'turn_credential'"),
        ("silence_s = 0", "silence_s"),
    ],
)
def test_a_mistake_in_the_settings_is_told_with_its_line(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read(f"[ice]\n{text}\n")


def test_the_credential_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_TURN", "from the environment")
    credential = TURN.turn_credential()
    assert credential is not None
    assert credential.reveal() == "from the environment"
    assert "environment" not in repr(credential) + str(credential)
    monkeypatch.delenv("SITE_TURN")
    with pytest.raises(InputError, match=r"no TURN credential in \$SITE_TURN"):
        TURN.turn_credential()


def test_the_credential_comes_from_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "turn"
    settings = replace(TURN, turn_credential_env="", turn_credential_file=str(file))
    with pytest.raises(InputError, match="cannot be read"):
        settings.turn_credential()
    file.write_text("from the file\n")
    file.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        settings.turn_credential()
    file.chmod(0o600)
    credential = settings.turn_credential()
    assert credential is not None
    assert credential.reveal() == "from the file"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        settings.turn_credential()


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("ws://127.0.0.1:80/x", True),
        ("ws://[::1]:80/x", True),
        ("ws://localhost/x", True),
        ("ws://localhost.example.org/x", False),
        ("ws://127.0.0.1.example.org/x", False),
        ("ws://user@127.0.0.1@example.org/x", False),
        ("ws://192.0.2.1/x", False),
        ("", False),
    ],
)
def test_only_this_machine_is_taken_for_the_loopback(url: str, here: bool) -> None:
    assert is_loopback(url) is here
