"""The gallery's tables of a TOML: every mistake with its line, every key explained, every role begun."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gallery_sites import DEVICE, INNER, OUTER, SYNC, write
from isthmus.app.galleries.checking import check_galleries
from isthmus.app.galleries.config import TABLES, GalleryConfig, read_gallery_config
from isthmus.app.galleries.starter import NEXT, write_gallery_site
from isthmus.app.keys import explained
from isthmus.app.soundness import check
from isthmus.core.errors import ConfigError, InputError
from isthmus.core.progress import silent
from isthmus.transfer.signing import SigningKey

WRONG = """[site]
name = "x"
wrkers = 3
[gallery]
role = "middle"
megapixels = 0
rename = ["a.b"]
[gate]
format = "zip"
trust = ["ed25519:short"]
[sync]
host = "0.0.0.0"
[ice]
turn = "turn:relay.example.org"
[device]
store_key_file = "a"
store_key_env = "B"
[galery]
"""


def lines(told: ConfigError) -> list[int | None]:
    return [mistake.line for mistake in told.mistakes]


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path, WRONG) / "isthmus.toml"
    with pytest.raises(ConfigError) as told:
        read_gallery_config(path)
    assert lines(told.value) == [3, 5, 6, 8, 9, 11, 13, 15, 18]
    text = str(told.value)
    for part in ("did you mean 'workers'?", "'inner', 'outer'", "lacks the key 'folder'", "beyond loopback",
                 "turn needs turn_user", "exclude each other", "did you mean 'gallery'?"):  # fmt: skip
        assert part in text


def test_renames_keys_and_a_server_at_the_wrong_side_are_told_with_their_lines(tmp_path: Path) -> None:
    text = INNER.replace("cut_s = 0", 'trust = ["ed25519:short"]').replace(
        'role = "inner"', 'role = "inner"\nrename = ["a=b.c"]'
    )
    path = write(tmp_path, text + SYNC.format(port=0)) / "isthmus.toml"
    with pytest.raises(ConfigError) as told:
        read_gallery_config(path)
    assert lines(told.value) == [5, 9, 12]


TWICE = 'person = "name"\nperson_by_folder = true\n[ice]'


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (DEVICE.format(name="b12", extractor="facs"), 4, "did you mean 'faces'?"),
        (DEVICE.format(name="b12", extractor="faces8").replace("[ice]", TWICE), 3, "exclude each other"),
        (OUTER.format(extractor="phassh", trust=SigningKey.create().public), 5, "did you mean 'phash'?"),
        (OUTER.format(extractor="phash", trust="").replace('[""]', "[]"), 8, "nobody is trusted"),
        (INNER.replace('key = "keys/gate.pem"\n', ""), 5, "needs a key"),
        ('[site]\nname = "x"\n[sync]\n', 3, "there is no [gallery]"),
        ('[site]\nname = "x"\n[gate]\nfolder = "gate"\n', 3, "there is no [gallery]"),
    ],
    ids=[
        "probe's extractor",
        "two ways of persons",
        "extractor",
        "no trust",
        "no key",
        "server alone",
        "gate alone",
    ],
)
def test_what_the_tables_say_of_each_other_is_checked(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = write(tmp_path, text) / "isthmus.toml"
    with pytest.raises(ConfigError) as told:
        check(path, silent)
    assert lines(told.value) == [line]
    assert what in str(told.value)


def test_mistakes_of_the_loop_and_of_the_gallery_are_told_together_and_each_once(tmp_path: Path) -> None:
    text = '[site]\nname = "x"\n[warehouse]\ncompression = "zip"\n[gallery]\nrole = "middle"\n[odd]\n'
    with pytest.raises(ConfigError) as told:
        check(write(tmp_path, text) / "isthmus.toml", silent)
    assert lines(told.value) == [4, 6, 7]


def test_a_sound_site_is_named_with_what_is_left_to_do(tmp_path: Path) -> None:
    found = check(write(tmp_path, INNER) / "isthmus.toml", silent)
    assert found.what == "an inner site with a gate"
    assert any("isthmus gate keys" in note for note in found.notes)


@pytest.mark.parametrize("table", [*TABLES])
def test_every_key_of_every_table_is_explained(table: str) -> None:
    rows = list(explained(table))
    assert [row[1] for row in rows] == [item.name for item in dataclasses.fields(TABLES[table])]
    assert all(meaning for *_, meaning in rows)


def test_the_tables_are_those_of_the_configuration() -> None:
    assert {item.name for item in dataclasses.fields(GalleryConfig)} == {"path", "site", *TABLES}
    assert {*TABLES} <= {row[0] for row in explained()}


@pytest.mark.parametrize("role", [*NEXT])
def test_a_new_site_of_each_role_can_be_read_and_is_never_written_over(tmp_path: Path, role: str) -> None:
    path = write_gallery_site(tmp_path / "site of mine", role)
    config = read_gallery_config(path)
    assert config.site.name == "site-of-mine"
    assert (config.gallery.role if config.gallery else "device") == role
    if role == "outer":
        path.write_text(path.read_text().replace("trust = []", f'trust = ["{SigningKey.create().public}"]'))
    assert role in check_galleries(path)[0]
    with pytest.raises(InputError, match="is there already"):
        write_gallery_site(path.parent, role)
