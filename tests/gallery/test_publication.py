"""Catalogues: whatever is published is read back as it was, and whatever else is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import Corrupt, InputError
from isthmus.gallery import piece
from isthmus.gallery.publication import Catalogue, Published, Withdrawn, cut, identity, whole
from isthmus.imaging.network import Sight, Told

GOLDEN = Path(__file__).parents[1] / "golden" / "catalogue-v1.json"
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
FILES = st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=4)


def made(version: str, files: dict[str, bytes]) -> tuple[Published, dict[bytes, bytes]]:
    listed, held = [], {}
    for path, content in files.items():
        file, parts = cut(path, content)
        listed.append(file)
        held.update(zip(map(bytes.fromhex, file.pieces), parts, strict=True))
    return Published(version, "anna", "now", tuple(listed), metrics={"recall": 0.5, "none": None}), held


@given(FILES, NAMES)
def test_what_is_cut_is_put_together_again(files: dict[str, bytes], version: str) -> None:
    published, held = made(version, files)
    assert {one.path: whole(one, held.__getitem__) for one in published.files} == files
    catalogue = Catalogue("see").published(published, 2)
    assert Catalogue.of_content(catalogue.content(), "see") == catalogue


@given(FILES, st.data())
def test_a_changed_byte_is_never_read_as_a_file(files: dict[str, bytes], data: st.DataObject) -> None:
    published, held = made("1", {path: content for path, content in files.items() if content} or {"a": b"a"})
    digest = data.draw(st.sampled_from(sorted(held)))
    at = data.draw(st.integers(0, len(held[digest]) - 1))
    held[digest] = held[digest][:at] + bytes([held[digest][at] ^ 1]) + held[digest][at + 1 :]
    with pytest.raises(Corrupt):
        [whole(one, held.__getitem__) for one in published.files]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=12), st.integers(1, 3))
def test_of_any_history_the_latest_that_is_not_withdrawn_counts(
    history: list[tuple[str, bool]], keep: int
) -> None:
    catalogue, model = Catalogue("see"), list[str]()
    for version, withdrawn in history:
        if not withdrawn:
            catalogue = catalogue.published(made(version, {"a": version.encode()})[0], keep)
            model = [*(one for one in model if one != version), version][-keep:]
        elif version in model:
            catalogue = catalogue.without(Withdrawn(version, "", "", ""))
            model.remove(version)
    assert [one.version for one in catalogue.versions] == model
    assert not {one.version for one in catalogue.versions} & {one.version for one in catalogue.withdrawn}
    assert Catalogue.of_content(catalogue.content(), "see") == catalogue


@given(st.binary(max_size=300))
def test_no_bytes_are_a_catalogue_by_chance(content: bytes) -> None:
    for hostile in (content, piece.wrapped(content)):
        with pytest.raises(Corrupt):
            Catalogue.of_content(hostile, "see")


def test_a_catalogue_of_another_model_or_a_later_format_is_refused() -> None:
    catalogue = Catalogue("see").published(made("1", {"a": b"a"})[0], 2)
    with pytest.raises(Corrupt, match="contradicts itself"):
        Catalogue.of_content(catalogue.content(), "hear")
    with pytest.raises(Corrupt, match="later release"):
        Catalogue.of_content(msgspec.structs.replace(catalogue, format=2).content(), "see")


def test_versions_have_identities_of_their_own_by_what_they_hold() -> None:
    one, other = made("1", {"a": b"a"})[0], made("1", {"a": b"b"})[0]
    assert identity("see", one).startswith("model/see/1/")
    assert identity("see", one) != identity("see", other)
    with pytest.raises(InputError):
        identity("No", one)


def test_the_catalogue_of_format_1_is_read() -> None:
    found = Catalogue.of_content(piece.wrapped(GOLDEN.read_bytes()), "see")
    (one,) = found.versions
    assert (one.version, one.by, one.onnx, one.metrics["recall"]) == ("2", "anna", "see.onnx", 0.93)
    assert (one.files[0].size, len(one.files[0].pieces)) == (5_000_000, 2)
    assert one.sight == Sight(112, 112, 512, 0.9, mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0))
    assert one.proof == (Told("vector", (1, 512), (0.25, None)),)
    assert one.digest.startswith("9f5da05fb8e9")
    assert [(gone.version, gone.why) for gone in found.withdrawn] == [("1", "it sees ghosts")]
    assert found.content() == piece.wrapped(GOLDEN.read_bytes()), "and written as it was"
