"""What a new server or agent needs beside its TOML is found by `check` before anything runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from acquire_sites import Hub
from gallery_sites import write
from isthmus.app.acquiring.starter import NEXT, write_acquire_site
from isthmus.app.keys import explained
from isthmus.app.soundness import check
from isthmus.core.errors import ConfigError, InputError, UnknownName
from isthmus.core.progress import silent


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as told:
        check(write(folder, f'[site]\nname = "hub"\n{text}') / "isthmus.toml", silent)
    assert all(mistake.line for mistake in told.value.mistakes), "each has its line"
    return [mistake.what for mistake in told.value.mistakes]


@pytest.mark.parametrize("role", NEXT)
def test_a_new_site_is_sound_as_it_is_written_and_says_what_is_left(tmp_path: Path, role: str) -> None:
    path = write_acquire_site(tmp_path / role, role)
    found = check(path, silent)
    assert found.what.startswith(
        "an interface server at http://127.0.0.1:8480" if role == "acquire" else "an agent without"
    )
    assert any(
        ("no environment" if role == "acquire" else "nothing may be asked for") in one for one in found.notes
    )
    with pytest.raises(InputError, match="there already"):
        write_acquire_site(tmp_path / role, role)


def test_what_a_new_agents_file_suggests_can_be_used_as_it_stands(tmp_path: Path) -> None:
    path = write_acquire_site(tmp_path, "agent")
    text = re.sub(r"^# (?=\[\[|\w+ = )", "", path.read_text(), flags=re.MULTILINE)
    assert text.count("\n[[") == 3
    path.write_text(text)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "storage").write_text("of the demo\n")
    assert [note.partition(" ")[0] for note in check(path, silent).notes] == [str(tmp_path / "agent.json")]


def test_a_server_tells_its_environments_and_what_is_wrong_with_their_keys(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")
    hub.environment("video")
    found = check(hub.folder / "isthmus.toml", silent)
    assert "environments: video" in found.notes
    trusted = hub.folder / "state" / "acquire" / "environments" / "video"
    trusted.chmod(0o644)
    with pytest.raises(ConfigError, match=r"environment video: .* can be read by others; run: chmod 600"):
        check(hub.folder / "isthmus.toml", silent)
    trusted.write_text("whsec_nothing!\n")
    trusted.chmod(0o600)
    with pytest.raises(ConfigError, match="environment video: this is no secret"):
        check(hub.folder / "isthmus.toml", silent)


def test_an_agent_tells_for_whom_its_credential_is_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")
    agent = hub.environment("video")
    path = agent.folder / "isthmus.toml"
    assert check(path, silent).what == f"an agent for video at {hub.url}"
    credential = agent.folder / "credential.json"
    credential.chmod(0o640)
    with pytest.raises(ConfigError, match=r"chmod 600 .*credential\.json"):
        check(path, silent)
    credential.chmod(0o600)
    credential.write_text("{")
    with pytest.raises(ConfigError, match="is no credential of an agent"):
        check(path, silent)


def test_certificates_connection_strings_and_folders_that_cannot_be_used_are_told_with_their_lines(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    found = mistakes(
        tmp_path,
        '[acquire]\ntls_certificate = "none.pem"\ntls_key = "none.key"\npostgres_file = "file"\n'
        '[acquire.filing]\nroot = "file/images"\n',
    )
    assert len(found) == 3
    assert "none.pem" in found[0]
    assert "file is empty; write the connection string" in found[1]
    assert "file is no folder" in found[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[acquire]\nhost = "0.0.0.0"\n', "is beyond loopback: set tls_certificate and tls_key first"),
        ('[acquire.filing]\ntemplate = "{root}/{place}.{ext}"\n', "record-id"),
        ('[acquire.filing]\nzone = "Europe/Berlinn"\n', "there is no time zone 'Europe/Berlinn'"),
        ("[acquire.keep]\ndayz = 3\n", "did you mean 'days'"),
        ('[agent]\n[[agent.allow]]\nschemes = ["http"]\n', "hosts must name at least one host"),
        ('[agent]\n[[agent.allow]]\nschemes = ["http"]\nhosts = ["a"]\ncidr = ["10.0.0.1/8"]\n', "10.0.0.1/8"),
        ('[agent]\n[[agent.storage]]\nhosts = ["a"]\nuser = "u"\n', "user needs password_file"),
        (
            '[agent]\n[[agent.storage]]\nhosts = ["a"]\nuser = "u"\npassword_file = "none"\n',
            "storage entry 1: the password file",
        ),
        ('[agent]\n[[agent.storage]]\nhosts = ["a"]\nca_file = "none"\n', "ca_file"),
        ('[agent]\n[[agent.rewrite]]\nto = "x"\n', "give either prefix or pattern"),
    ],
)
def test_each_mistake_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (what,) = mistakes(tmp_path, text)
    assert told in what


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_told(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    (what,) = mistakes(tmp_path, '[acquire.filing]\nroot = "closed/images"\n')
    assert "no right to write into" in what


def test_a_site_may_acquire_and_close_the_loop_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path, '[site]\nname = "both"\n[acquire]\n[warehouse]\n')
    found = check(folder / "isthmus.toml", silent)
    assert "interface server" in found.what
    assert "0 pipelines" in found.what


@pytest.mark.parametrize(
    "part", ["acquire", "acquire.filing", "agent", "agent.allow", "agent.storage", "agent.work"]
)
def test_every_key_of_acquiring_is_explained(part: str) -> None:
    rows = list(explained(part))
    assert rows
    assert all(table.startswith(part) and meaning for table, _, _, meaning in rows)


def test_an_unknown_table_of_acquiring_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'agent\.storage'"):
        list(explained("agent.storrage"))
