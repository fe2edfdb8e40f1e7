"""A new site of a pair, and what `check` says of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app import soundness
from isthmus.app.recovery.config import read_recovery_config
from isthmus.app.recovery.starter import write_recovery_site
from isthmus.core.errors import ConfigError, InputError
from isthmus.core.progress import silent
from isthmus.faces.cli.main import run


@pytest.mark.parametrize("role", ["primary", "standby"])
def test_a_new_site_is_sound_and_says_what_is_left_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    assert run(["init", str(tmp_path / "site"), "--role", role]) == 0
    assert "recovery keys" in capsys.readouterr().err
    path = tmp_path / "site" / "isthmus.toml"
    assert read_recovery_config(path).recovery.role == role
    sound = soundness.check(path, silent)
    assert sound.what.startswith("recovery with ")
    assert any("trusts no key yet" in note for note in sound.notes)
    assert (tmp_path / "site" / "keys" / "recovery.pem").stat().st_mode & 0o777 == 0o600


def test_a_site_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    write_recovery_site(tmp_path, "primary")
    with pytest.raises(InputError, match="there already"):
        write_recovery_site(tmp_path, "standby")


def test_mistakes_of_recovery_are_told_with_those_of_the_other_tables(tmp_path: Path) -> None:
    path = write_recovery_site(tmp_path, "primary")
    path.write_text(path.read_text().replace('road = "folder"', 'road = "pigeon"') + "\n[sync]\nport = 99999999\n")
    with pytest.raises(ConfigError) as told:
        soundness.check(path, silent)
    assert {"road" in str(one) or "port" in str(one) for one in told.value.mistakes} == {True}
    assert len(told.value.mistakes) == 2
