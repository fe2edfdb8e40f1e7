from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.core.errors import Corrupt, InputError
from isthmus.loop.release import folder
from isthmus.loop.release.card import Card
from releasing import card, weights

NAME = "forecast-20261120-1"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("released") / NAME
    folder.write(str(path), weights, card(NAME))
    return path


def test_a_released_folder_holds_the_model_its_card_and_a_manifest_of_every_file(tmp_path: Path) -> None:
    path = tmp_path / NAME
    digest = folder.write(str(path), weights, card(NAME))
    assert sorted(item.name for item in path.iterdir()) == sorted(
        [*folder.WEIGHTS, folder.CARD, folder.CARD_TEXT, folder.MANIFEST]
    )
    entries = folder.verify(str(path), digest)
    assert {entry.path for entry in entries} == {*folder.WEIGHTS, folder.CARD, folder.CARD_TEXT}
    found = folder.read_card(f"file://{path}")
    assert found.digests["model.onnx"] == blake3((path / "model.onnx").read_bytes()).hexdigest()
    assert (found.table, found.version, found.id_count) == ("drive.silver.scenes", 42, 1234)
    assert list(tmp_path.iterdir()) == [path]


def test_the_weights_may_come_as_a_folder_with_folders_in_it(tmp_path: Path) -> None:
    source = tmp_path / "trained"
    (source / "extra").mkdir(parents=True)
    weights(source)
    (source / "extra" / "loss.csv").write_text("1,2\n")
    folder.write(str(tmp_path / NAME), source, card(NAME))
    assert "extra/loss.csv" in {entry.path for entry in folder.verify(str(tmp_path / NAME))}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_one_flipped_bit_anywhere_is_noticed_and_its_file_named(released: Path, data: st.DataObject) -> None:
    _, digest = folder.read_manifest(str(released))
    path = data.draw(st.sampled_from(sorted(released.iterdir())))
    before = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(before)
    flipped[at] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        with pytest.raises(Corrupt) as caught:
            folder.verify(str(released), digest)
        assert path.name in str(caught.value)
    finally:
        path.write_bytes(before)
    folder.verify(str(released), digest)


@pytest.mark.parametrize("name", [*folder.WEIGHTS, folder.CARD, folder.MANIFEST])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder.write(str(tmp_path / NAME), weights, card(NAME))
    (tmp_path / NAME / name).unlink()
    with pytest.raises(Corrupt, match=f"{name} is missing"):
        folder.verify(str(tmp_path / NAME))


def test_a_file_cut_short_and_a_file_that_nobody_released_are_named(tmp_path: Path) -> None:
    path = tmp_path / NAME
    folder.write(str(path), weights, card(NAME))
    os.truncate(path / "model.onnx", 10)
    with pytest.raises(Corrupt, match=r"model\.onnx has 10 bytes instead of 2000"):
        folder.verify(str(path))
    (path / "model.onnx").write_bytes(b"onnx" * 500)
    (path / "surprise.py").write_text("")
    with pytest.raises(Corrupt, match=r"surprise\.py is not in the manifest"):
        folder.verify(str(path))


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "a//b", ""])
def test_a_manifest_that_points_out_of_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    folder.write(str(tmp_path / NAME), weights, card(NAME))
    manifest = tmp_path / NAME / folder.MANIFEST
    plain = json.loads(manifest.read_text())
    plain["files"][0]["path"] = path
    manifest.write_text(json.dumps(plain))
    with pytest.raises(Corrupt):
        folder.verify(str(tmp_path / NAME))


def test_a_released_folder_never_changes(tmp_path: Path) -> None:
    folder.write(str(tmp_path / NAME), weights, card(NAME))
    with pytest.raises(InputError, match="exists already"):
        folder.write(str(tmp_path / NAME), weights, card(NAME))


def test_a_model_without_its_weights_or_with_links_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks model\.safetensors, model\.onnx"):
        folder.write(str(tmp_path / NAME), lambda path: (path / "model.json").write_text("{}"), card(NAME))
    source = tmp_path / "trained"
    source.mkdir()
    weights(source)

    def with_a_link(path: Path) -> None:
        weights(path)
        (path / "link").symlink_to("/etc/passwd")

    with pytest.raises(InputError, match="is a link"):
        folder.write(str(tmp_path / NAME), with_a_link, card(NAME))
    with pytest.raises(InputError, match="brings its own"):
        folder.write(str(tmp_path / NAME), lambda path: (weights(path), (path / "CARD.md").touch()), card(NAME))
    assert [item.name for item in tmp_path.iterdir()] == ["trained"]


def test_a_folder_on_an_object_store_is_written_with_its_manifest_last() -> None:
    uri = f"memory://releases/{NAME}"
    seen: list[str] = []
    digest = folder.write(uri, weights, card(NAME), seen.append)
    assert seen[-1] == "all but the manifest uploaded"
    folder.verify(uri, digest)
    assert folder.read_card(uri).model_id == NAME


def test_a_card_reads_back_as_it_was_written() -> None:
    text = card(NAME).to_json()
    assert Card.from_json(text, "here").to_json() == text
    assert "NaN" not in text


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": 9}', '{"format": 1, "rules": 3}'])
def test_a_broken_card_is_corrupt(text: str) -> None:
    with pytest.raises(Corrupt, match="here"):
        Card.from_json(text, "here")


def test_the_card_for_people_shows_the_champion_beside_and_survives_odd_names() -> None:
    text = card(NAME, decision="5 bounds held: promote.").to_markdown()
    assert "| minADE (m) | overall | 0.61 | 0.66 | 900 |" in text
    assert "| minADE (m) | rule:a\\|b | none |  | 0 |" in text
    assert "cut_ins > 0 AND cut_in_gap_m < gap_m" in text
    assert "gap_m = 15.0" in text
