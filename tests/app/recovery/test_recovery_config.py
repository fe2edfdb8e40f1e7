from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.app.keys import explained
from isthmus.app.recovery.config import RecoveryConfig, read_recovery_config
from isthmus.core.errors import ConfigError, InputError
from isthmus.recovery.ini import Classic, write, write_pair
from isthmus.transfer.signing import SigningKey

KEY = str(SigningKey.create().public)


def read(folder: Path, text: str, site: str = "north") -> RecoveryConfig:
    path = folder / "isthmus.toml"
    path.write_text(f'[site]\nname = "{site}"\ntimezone = "Europe/Berlin"\n\n{text}')
    return read_recovery_config(path)


def wrong(folder: Path, text: str, site: str = "north") -> dict[int | None, str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, site)
    found: dict[int | None, str] = {}
    for mistake in caught.value.mistakes:
        found[mistake.line] = found.get(mistake.line, "") + f"{mistake.what}\n"
    return found


FOLDERS = '[recovery]\npeer = "south"\nout_place = "out"\nin_place = "in"\n'


def test_little_is_enough_where_folders_are_shared(tmp_path: Path) -> None:
    config = read(tmp_path, FOLDERS)
    part = config.recovery
    assert (part.out_place, part.in_place) == (str(tmp_path / "out"), str(tmp_path / "in"))
    assert config.place(part.key) == tmp_path / "keys" / "recovery.pem"
    assert config.root == str(tmp_path / "warehouse")
    assert config.state_folder == tmp_path / "state" / "recovery"
    assert part.rhythm(config.zone).interval == timedelta(minutes=5)
    assert part.rhythm(config.zone).windows.windows == ()


def test_every_road_has_its_places(tmp_path: Path) -> None:
    read(tmp_path, FOLDERS + 'road = "gate"\n')
    s3 = FOLDERS.replace('"out"', '"s3://b/out"').replace('"in"', '"s3://b/in"')
    part = read(tmp_path, s3 + 'road = "s3"\nendpoint = "http://127.0.0.1:8333"\ntoken_env = "S3"\n').recovery
    assert part.out_place == "s3://b/out"
    http = FOLDERS.replace('"out"', '"https://south:8490/v1/carry/in"') + 'road = "http"\ntoken_env = "T"\n'
    door = '[recovery.door]\nhost = "127.0.0.1"\ntoken_file = "token"\n'
    config = read(tmp_path, http + door)
    assert config.recovery.door is not None
    assert config.recovery.door.token_file == str(tmp_path / "token")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[recovery]\n", 5, "lacks the key 'peer'"),
        (FOLDERS.replace("south", "north"), 6, "as this site"),
        (FOLDERS.replace('"in"', '"out"'), 8, "the same"),
        (FOLDERS.replace('in_place = "in"', ""), 5, "lacks the key 'in_place'"),
        (FOLDERS + 'stream = "Re covery"\n', 9, "stream is"),
        (FOLDERS + 'trust = ["ed25519:short"]\n', 9, "no public key"),
        (FOLDERS + 'windows = ["22-6"]\n', 9, "22-6"),
        (FOLDERS + 'windows = ["00:00-24:00"]\n', 9, "no time for a round"),
        (FOLDERS + "backup_s = 60.0\nfull_s = 30.0\n", 10, "less than backup_s"),
        (FOLDERS + "local_shards = 6\nremote_shards = 4\n", 9, "neither is a multiple"),
        (FOLDERS + 'csv = "a/b"\n', 9, "without folders"),
        (FOLDERS + 'road = "s3"\n', 7, "the road s3 takes: s3"),
        (FOLDERS.replace('"out"', '"s3://b/out"'), 7, "the road folder takes: folder"),
        (FOLDERS + 'road = "http"\n', 7, "add [recovery.door]"),
        (FOLDERS.replace('"out"', '"https://x/v1/carry/in"') + 'road = "http"\n', 5, "wants a token"),
        (FOLDERS + 'token_file = "a"\ntoken_env = "B"\n', 9, "either token_file or token_env"),
        (FOLDERS + '[recovery.door]\ntoken_env = "T"\n', 9, "not for folder"),
        (FOLDERS + "[recovery.door]\n", 9, "either token_file or token_env"),
        (FOLDERS + '[recovery.door]\nhost = "0.0.0.0"\ntoken_env = "T"\n', 9, "beyond loopback"),
        (FOLDERS + "[recovery.carry]\ncarousel_files = 9\nkeep_files = 3\n", 9, "at most keep_files"),
        (FOLDERS + "parallel = 33\n", 9, "1 to 32"),
        (FOLDERS + 'desync = "drop"\n', 9, "drop-desync-table"),
        (FOLDERS + "[warehouse]\nroot = 7\n", 10, "root must be a text"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    found = wrong(tmp_path, text)
    assert what in found[line], found


def test_a_site_without_recovery_is_told_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="isthmus keys recovery"):
        read(tmp_path, "")


CLASSIC = Classic(
    life_cycle="36h",
    username="omm",
    parrallel_process=4,
    compression_level=0,
    desync_table_operation="log-desync-table",
    cpu_cores=3,
    local_reserve_file_count=0,
    primary_env="/p/env",
    standby_env="/s/env",
    full_backup_exec_time_interval=1440,
    backup_exec_time_interval=2,
    restore_interval=3,
    primary_media_destination="/p/media",
    primary_metadata_destination="/p/meta",
    restore_media_destination="/s/media",
    restore_metadata_destination="/s/meta",
    primary_cluster_id="north",
    standby_cluster_id="south",
    new_disaster_recovery_suppressed_time_windows="22:00-06:00, Sat 12:00-13:00",
)


def test_a_classic_file_overrides_the_toml_on_either_side(tmp_path: Path) -> None:
    write_pair(CLASSIC, tmp_path / "backupRestore.ini")
    text = '[recovery]\nclassic = "backupRestore.ini"\nbackup_s = 7.0\nreserve = 5\npart_mb = 8.0\n'
    north, south = read(tmp_path, text).recovery, read(tmp_path, text, "south").recovery
    assert (north.role, north.peer, north.out_place, north.in_place, north.env) == (
        "primary",
        "south",
        "/p/media",
        "/p/meta",
        "/p/env",
    )
    assert (south.role, south.peer, south.out_place, south.in_place, south.env) == (
        "standby",
        "north",
        "/s/meta",
        "/s/media",
        "/s/env",
    )
    for part in (north, south):
        assert (part.backup_s, part.full_s, part.restore_s) == (120, 86_400, 180)
        assert (part.reserve, part.parallel, part.compression_level, part.cores) == (0, 4, 0, 3)
        assert (part.desync, part.account, part.keep_days) == ("log-desync-table", "omm", 1.5)
        assert part.windows == ("22:00-06:00", "Sat 12:00-13:00")
        assert part.part_mb == 8.0
    swapped = read(tmp_path, text.replace("backup", "sw_backup", 1)).recovery
    assert (swapped.role, swapped.peer, swapped.out_place) == ("standby", "south", "/p/meta")


def test_a_classic_file_leads_to_the_other_site_s_door(tmp_path: Path) -> None:
    ini = (
        "restore-host-ip=2001:db8::2\nrestore-port=9000\nbackup-port=9001\n"
        "primary-metadata-destination=/p/in\ncompression-type=zlib\n"
    )
    (tmp_path / "b.ini").write_text(ini)
    text = (
        '[recovery]\npeer = "south"\nrole = "primary"\nclassic = "b.ini"\nroad = "http"\ntoken_env = "T"\n'
        '[recovery.door]\ntoken_env = "T"\n'
    )
    config = read(tmp_path, text)
    assert config.recovery.out_place == "https://[2001:db8::2]:9000/v1/carry/in"
    assert config.recovery.door is not None and config.recovery.door.port == 9001
    assert set(config.unheeded) == {"compression-type"}


def test_mistakes_of_the_classic_file_are_told_with_those_of_the_toml(tmp_path: Path) -> None:
    (tmp_path / "b.ini").write_text("cpu-cores=0\n\nparrallel-process=99\n")
    path = tmp_path / "isthmus.toml"
    path.write_text('[site]\nname = "north"\n[recovery]\nclassic = "b.ini"\nwindows = ["x"]\n')
    with pytest.raises(ConfigError) as caught:
        read_recovery_config(path)
    places = {(Path(mistake.file).name, mistake.line) for mistake in caught.value.mistakes}
    assert places >= {("b.ini", 1), ("b.ini", 3), ("isthmus.toml", 5)}
    found = wrong(tmp_path, FOLDERS + 'classic = "nowhere.ini"\n')
    assert "generate-config" in found[9]
    (tmp_path / "b.ini").write_text(write(Classic()))
    found = wrong(tmp_path, FOLDERS + 'classic = "b.ini"\n')
    assert "names neither side" in found[9]


def test_its_keys_are_explained() -> None:
    rows = list(explained("recovery"))
    assert {table for table, *_ in rows} == {"recovery", "recovery.door", "recovery.carry"}
    assert all(meaning for *_, meaning in rows)
    assert ("recovery", "trust", "()", "public keys of the other site: ed25519:…") in rows
    assert [table for table, *_ in explained("recovery.door")] == ["recovery.door"] * 6


def test_a_public_key_as_a_site_writes_it_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, FOLDERS + f'trust = ["{KEY}"]\n').recovery.trust == (KEY,)
