from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError
from isthmus.recovery.cron import Job, crontab, schedule, server, unit_name, units

MINUTE = timedelta(minutes=1)
ODD = '/srv/it\'s "one" 100% $HOME `x`; rm -rf; é'


def job(*command: str, every: timedelta = 5 * MINUTE) -> Job:
    return Job("backup", ("/bin/echo", *command), every, ("--when-due",))


@pytest.mark.parametrize(
    ("minutes", "fields", "exact"),
    [
        (1, "* * * * *", True),
        (5, "*/5 * * * *", True),
        (30, "*/30 * * * *", True),
        (7, "* * * * *", False),
        (45, "*/15 * * * *", False),
        (60, "0 * * * *", True),
        (90, "*/30 * * * *", False),
        (120, "0 */2 * * *", True),
        (300, "0 * * * *", False),
        (540, "0 */3 * * *", False),
        (1440, "0 0 * * *", True),
        (2880, "0 0 * * *", False),
        (10_080, "0 0 * * 0", True),
        (20_160, "0 0 * * 0", False),
        (0.5, "* * * * *", False),
        (1.5, "* * * * *", False),
    ],
)
def test_an_interval_becomes_fields_of_a_crontab(minutes: float, fields: str, exact: bool) -> None:
    assert schedule(minutes * MINUTE) == (fields, exact)


@given(st.integers(1, 40_000))
def test_fields_that_are_not_the_interval_come_at_a_divisor_of_it(minutes: int) -> None:
    fields, exact = schedule(minutes * MINUTE)
    minute, hour, _, _, weekday = fields.split()
    every = {"*": 1, "0": 60}.get(minute) or int(minute[2:])
    if minute == "0":
        every = {"*": 60, "0": 1440}.get(hour) or 60 * int(hour[2:])
    every *= 7 if weekday == "0" else 1
    assert minutes % every == 0
    assert exact == (minutes == every)


def test_a_line_that_comes_too_often_lets_the_round_begin_only_when_it_is_due() -> None:
    _, often, exact = crontab("north", [job(every=7 * MINUTE), job(every=10 * MINUTE)])
    assert often == "* * * * * /bin/echo --when-due"
    assert exact == "*/10 * * * * /bin/echo"


def shell_sees(line: str, fields: int = 5) -> str:
    """What cron hands to the shell: the percent signs are no longer escaped, and none may stand bare."""
    command = line.split(" ", fields)[fields]
    assert "%" not in command.replace("\\%", "")
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("\\%", "%")], capture_output=True, text=True, check=True
    ).stdout


def test_odd_paths_reach_the_command_as_they_are(tmp_path: Path) -> None:
    _, line = crontab("north", [job("--site", ODD)])
    assert shell_sees(line) == f"--site {ODD}\n"
    env = tmp_path / "my env %1"
    env.write_text("export GREETING=hello\n")
    shown = Job("backup", ("/bin/sh", "-c", 'echo "$GREETING" "$1"', "sh", ODD), MINUTE)
    _, line = crontab("north", [shown], str(env))
    assert shell_sees(line) == f"hello {ODD}\n"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x00b", "a\x7fb"])
def test_what_neither_can_hold_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no crontab can hold"):
        crontab("north", [job(text)])
    with pytest.raises(InputError, match="no crontab can hold"):
        crontab(text, [job()])
    with pytest.raises(InputError, match="no unit can hold"):
        units("north", [job(text)])
    with pytest.raises(InputError):
        units("north", [job()], user=text)
    with pytest.raises(InputError):
        server("north", ["/bin/true"], env=text)
    with pytest.raises(InputError):
        crontab("north", [job("back\\slash")])


def read_back(line: str) -> list[str]:
    """Read a command line by the rules of systemd.service(5) and systemd.unit(5) for what is written here."""
    words, word, quoted, begun, at = [], "", False, False, 0
    while at < len(line):
        sign = line[at]
        if quoted and sign == "\\":
            at += 1
            word += line[at]
        elif sign == '"':
            quoted, begun = not quoted, True
        elif sign == " " and not quoted:
            words.append(word)
            word, begun = "", False
        else:
            word += sign
            begun = True
        at += 1
    assert not quoted
    return [part.replace("%%", "%").replace("$$", "$") for part in ([*words, word] if begun else words)]


@given(
    st.lists(
        st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"])), max_size=4
    )
)
def test_any_words_are_read_from_a_unit_as_they_were_given(words: list[str]) -> None:
    service, _ = units("north", [job(*words)])
    (line,) = [line for line in service.content.split("\n") if line.startswith("ExecStart=")]
    assert read_back(line.removeprefix("ExecStart=")) == ["/bin/echo", *words]


def test_units_are_named_by_site_and_job_and_run_as_the_account() -> None:
    service, timer = units("no/rth 1", [job()], user="omm")
    assert (service.name, timer.name) == (
        "isthmus-no-rth-1-recovery-backup.service",
        "isthmus-no-rth-1-recovery-backup.timer",
    )
    assert "User=omm\n" in service.content
    assert "OnUnitActiveSec=300s\n" in timer.content
    assert unit_name("a", "") == "isthmus-a-recovery"
    with pytest.raises(ValueError):
        Job("backup", ("/bin/true",), timedelta())


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze: apt-get install systemd")
@pytest.mark.parametrize("env", ["", "/etc/my env %1"])
def test_systemd_takes_the_units(tmp_path: Path, env: str) -> None:
    odd = (ODD, "back\\slash", "")
    made = [
        *units("north %n", [job(*odd), Job("restore", ("/bin/true",), timedelta(seconds=1.5))], "root", env),
        server("north", ["/bin/true", *odd], "root", env),
    ]
    for unit in made:
        (tmp_path / unit.name).write_text(unit.content)
    found = subprocess.run(
        ["systemd-analyze", "verify", *[str(tmp_path / unit.name) for unit in made]],
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in found.stderr.splitlines() if "isthmus" in line]
    assert (mine, found.returncode) == ([], 0), found.stderr
    (tmp_path / made[0].name).write_text(made[0].content.replace("ExecStart=", 'ExecStart=nowhere"', 1))
    broken = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / made[0].name)], capture_output=True, check=False
    )
    assert broken.returncode != 0, "the check sees what is wrong"
