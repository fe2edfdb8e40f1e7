from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import ConfigError, InputError
from isthmus.recovery import ini
from isthmus.recovery.ini import PAIRS, Classic
from isthmus.recovery.inikeys import KEYS

THIRTY = """life-cycle, backuprestoreinfo-file, username, media-type, parrallel-process, compression-level,
compression-type, log-file-count, check-balance-retry-times, desync-table-operation, cpu-cores,
local-reserve-file-count, primary-env, full-backup-exec-time-interval, backup-exec-time-interval,
primary-host-ip, primary-media-destination, primary-metadata-destination, backup-port,
primary-cluster-logging-level, primary-cluster-id, standby-env, restore-interval, restore-host-ip,
restore-media-destination, restore-metadata-destination, restore-port, standby-cluster-logging-level,
standby-cluster-id, new-disaster-recovery-suppressed-time-windows"""

PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), max_size=20).filter(
    lambda text: text.strip() == text and text.lower() != "n/a"
)
VALUES = {
    "life_cycle": st.builds(lambda n, u: f"{n}{u}", st.integers(1, 999), st.sampled_from("mhd")),
    "backuprestoreinfo_file": st.from_regex(r"[a-z]{1,8}\.csv", fullmatch=True),
    "username": st.from_regex(r"[a-z]{0,8}", fullmatch=True),
    "new_disaster_recovery_suppressed_time_windows": st.sampled_from(["", "22:00-06:00", "Sat+Sun 01:00-02:00"]),
}


@st.composite
def classics(draw: st.DrawFn) -> Classic:
    values = {}
    for key in KEYS:
        name = key.name.replace("-", "_")
        default = getattr(Classic(), name)
        if name in VALUES:
            values[name] = draw(VALUES[name])
        elif key.choices:
            values[name] = draw(st.sampled_from(key.choices))
        elif isinstance(default, int):
            values[name] = draw(st.integers(key.least or 0, key.most or 10_000))
        else:
            values[name] = draw(PLAIN)
    values["full_backup_exec_time_interval"] = 0
    values["standby_cluster_id"] += "x"
    if values["primary_cluster_id"] == values["standby_cluster_id"]:
        values["primary_cluster_id"] += "y"
    return Classic(**values)


def test_all_thirty_keys_are_known_by_their_classic_spelling() -> None:
    assert sorted(key.name for key in KEYS) == sorted(THIRTY.replace("\n", " ").split(", "))
    assert len(KEYS) == len(THIRTY.split(",")) == 30
    for key in KEYS:
        assert key.here and key.range
        assert key.effective or key.differs, f"{key.name} does nothing and does not say why"


@given(classics())
def test_what_is_written_is_read_back(classic: Classic) -> None:
    assert ini.read(ini.write(classic), "x") == classic


@given(classics())
def test_the_file_for_after_a_switchover_swaps_the_five_pairs_and_nothing_else(classic: Classic) -> None:
    swapped = classic.swapped()
    assert swapped.swapped() == classic
    assert len(PAIRS) == 5
    paired = dict(PAIRS) | {other: one for one, other in PAIRS}
    for key in KEYS:
        assert swapped.get(key.name) == classic.get(paired.get(key.name, key.name))


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("parrallel-process", ["1", "32"], ["0", "33", "two", "-1", "1.5"]),
        ("compression-level", ["0", "9"], ["10", "-1", "high"]),
        ("log-file-count", ["5", "1024"], ["4", "1025"]),
        ("cpu-cores", ["1", "1024"], ["0", "1025"]),
        ("local-reserve-file-count", ["0", "160"], ["-1", "many"]),
        ("check-balance-retry-times", ["0", "7"], ["-1"]),
        ("desync-table-operation", ["none", "log-desync-table", "drop-desync-table"], ["drop", "keep"]),
        ("media-type", ["disk", "DISK", "OBS"], ["NBU", "tape"]),
        ("compression-type", ["LZ4", "zlib", "zstd"], ["brotli"]),
        ("backup-port", ["1", "65535"], ["65536", "http"]),
        ("restore-port", ["8443"], ["65536"]),
        ("life-cycle", ["10m", "3h", "30d"], ["10", "m", "0d", "10y", "1.5d"]),
        ("backup-exec-time-interval", ["2", "N/A"], ["soon", "-2"]),
        ("full-backup-exec-time-interval", ["1440", "n/a"], ["soon"]),
        ("restore-interval", ["1"], ["?"]),
        ("username", ["omm"], ["a b", "-x", "a:b"]),
        ("backuprestoreinfo-file", ["a.csv"], ["a/b.csv", ".."]),
        ("primary-cluster-logging-level", ["INFO", "debug"], ["loud"]),
        ("standby-cluster-logging-level", ["fatal"], ["9"]),
        ("new-disaster-recovery-suppressed-time-windows", ["22:00-06:00", "N/A"], ["22-6", "00:00-24:00"]),
    ],
)
def test_each_key_holds_to_its_range(key: str, good: list[str], bad: list[str]) -> None:
    for value in good:
        ini.read(f"{key} = {value}", "x")
    for value in bad:
        with pytest.raises(ConfigError) as caught:
            ini.read(f"# first\n{key}={value}", "x.ini")
        (mistake,) = caught.value.mistakes
        assert mistake.line == 2
        assert str(mistake).startswith("x.ini:2: ")


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / ini.NAME
    path.write_text(
        "[common]\n; a remark\nparrallel-process=99\nparallel-process=3\nnonsense\ncpu-cores=1\ncpu-cores=2\n"
        "primary-cluster-id=a\r\nstandby-cluster-id=a\n[primary]\nbackup-port=x\n"
    )
    with pytest.raises(ConfigError) as caught:
        ini.load(path)
    found = {mistake.line: mistake.what for mistake in caught.value.mistakes}
    assert list(found) == [3, 4, 5, 7, 11]
    assert "1 to 32" in found[3]
    assert "did you mean 'parrallel-process'" in found[4]
    assert "line 6" in found[7]
    path.write_text("primary-cluster-id=a\nstandby-cluster-id=a\nfull-backup-exec-time-interval=1\n")
    with pytest.raises(ConfigError) as caught:
        ini.load(path)
    assert [mistake.line for mistake in caught.value.mistakes] == [2, 3]
    with pytest.raises(InputError, match="generate-config"):
        ini.load(tmp_path / "nowhere.ini")


def test_keys_mean_the_same_in_any_section_and_nothing_said_is_the_default() -> None:
    assert ini.read("", "x") == Classic()
    text = "[anything]\nrestore-interval=7\nbackup-exec-time-interval=N/A\ncpu-cores=\nprimary-env=N/A\n"
    found = ini.read(text, "x")
    assert (found.restore_interval, found.backup_exec_time_interval, found.cpu_cores) == (7, 0, 8)
    assert found.primary_env == ""


def test_both_files_are_generated_from_what_the_command_asks_for(tmp_path: Path) -> None:
    classic = ini.generate(
        "omm",
        primary_env="/home/omm/env",
        primary_host_ip="192.0.2.1",
        restore_host_ip="192.0.2.2",
        meta_destination="/srv/meta",
        media_destination="/srv/media",
    )
    other = ini.write_pair(classic, tmp_path / ini.NAME)
    assert other == tmp_path / ini.SWAPPED_NAME
    assert ini.load(tmp_path / ini.NAME) == classic
    swapped = ini.load(other)
    assert (swapped.primary_host_ip, swapped.restore_host_ip) == ("192.0.2.2", "192.0.2.1")
    assert (swapped.primary_env, swapped.standby_env) == ("", "/home/omm/env")
    assert swapped.primary_media_destination == swapped.restore_media_destination == "/srv/media"
    with pytest.raises(ConfigError):
        ini.generate("omm", media_destination="/srv\nusername=root")
    with pytest.raises(ConfigError):
        ini.generate("o m m")


def test_what_does_nothing_here_says_so() -> None:
    classic = ini.read("compression-type=zlib\nlog-file-count=50\ncheck-balance-retry-times=3\ncpu-cores=2", "x")
    assert set(classic.unheeded()) == {"compression-type", "check-balance-retry-times"}
    assert all(classic.unheeded().values())
    assert {key.name for key in KEYS if not key.effective} == {
        "compression-type",
        "log-file-count",
        "check-balance-retry-times",
        "primary-cluster-logging-level",
        "standby-cluster-logging-level",
    }


def test_values_are_what_they_stand_for() -> None:
    classic = dataclasses.replace(
        Classic(), life_cycle="2h", new_disaster_recovery_suppressed_time_windows="22:00-06:00"
    )
    assert classic.life_s == 7200
    assert str(classic.windows) == "22:00-06:00"


def test_the_table_of_the_documents_has_a_row_for_every_key() -> None:
    rows = ini.docs_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [key.name for key in KEYS]
    assert all(row.count("|") == 6 for row in rows)
