"""Images are made ready ahead of the engine: in order, bounded, and with nothing left behind."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallery_making import jpeg, sqlite_set
from isthmus.core.digest import new_key
from isthmus.gallery.record import IMAGE_FIELD, Document
from isthmus.gallery.store import intake
from isthmus.gallery.store.inline import FIELD
from isthmus.gallery.store.intake import Intake


@dataclass(frozen=True)
class Entry:
    """An entry whose document is an image alone, or nothing."""

    image: bytes

    @property
    def text(self) -> str:
        return base64.b64encode(self.image).decode()

    @property
    def raw(self) -> bytes:
        return FIELD + self.image if self.image else b"nothing"

    @property
    def fields(self) -> Document:
        return {"o": {IMAGE_FIELD: self.text}} if self.image else {"o": {}}


@settings(max_examples=40)
@given(st.lists(st.integers(0, 9).map(lambda n: bytes([n]) * 60 * (n % 3)), max_size=60), st.integers(1, 7))
def test_entries_come_in_their_order_with_their_images_ready(images: list[bytes], together: int) -> None:
    judged: list[bytes] = []

    def check(content: bytes) -> str | None:
        judged.append(content)
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "_BATCH_ENTRIES", together)
        held = Intake(check)
        entries = [Entry(image) for image in images]
        seen = []
        for entry in held.ahead(entries):
            seen.append(entry)
            if entry.image:
                before = len(judged)
                ready = held.take(entry.text)
                assert ready is not None and ready.content == entry.image
                assert len(judged) - before <= 2 * together, (
                    "the batches ahead may go on meanwhile, this one is done"
                )
        held.close()
    assert seen == entries


def test_no_more_is_read_ahead_than_a_few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_BATCH_ENTRIES", 5)
    read = 0

    def entries() -> Iterator[Entry]:
        nonlocal read
        for number in range(200):
            read += 1
            yield Entry(bytes([number]) * 99)

    held = Intake(None)
    for number, _ in enumerate(held.ahead(entries())):
        assert read <= number + 1 + (intake._AHEAD + 1) * 5
    assert read == 200
    held.close()


def test_whoever_stops_reading_leaves_nothing_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_BATCH_ENTRIES", 1)
    monkeypatch.setattr(intake, "_AHEAD", 40)
    go, judged = threading.Event(), []

    def check(content: bytes) -> str | None:
        assert go.wait(10)
        judged.append(content)
        return None

    held = Intake(check)
    images = (bytes([number]) * 99 for number in range(100))
    coming = held.ahead([Entry(b""), *map(Entry, images)])
    next(coming)  # 40 batches wait for two threads
    coming.close()
    go.set()
    held.close()
    assert len(judged) <= 2


def test_half_a_file_of_a_lost_transaction_is_written_anew(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path)
    content = jpeg(1)
    ready = held.intake.of(content)
    path = held.files.path(ready.digest)
    path.parent.mkdir()
    path.write_bytes(content[:100])
    with path.open("rb") as reader:
        with held.changing() as change:
            change.begin_stream(new_key())
            change.put("faces.staff", {"_id": "a", IMAGE_FIELD: base64.b64encode(content).decode()})
        assert path.read_bytes() == content
        assert reader.read() == content[:100], "it was replaced and not written over"
    assert not list((held.files.folder / "incoming").iterdir())
    held.close()


def test_a_record_that_comes_again_with_a_new_image_is_replaced(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path)
    with held.changing() as change:
        change.begin_stream(new_key())
        for number in (1, 2, 2, 3):
            change.put("faces.staff", {"_id": "a", IMAGE_FIELD: base64.b64encode(jpeg(number)).decode()})
    (record,) = held.records("faces.staff")
    assert record.image is not None and record.image.digest == held.intake.of(jpeg(3)).digest
    assert record.changed == held.change("faces.staff") == 3
    assert [stat.records for stat in held.galleries()] == [1]
    assert len([path for path in held.files.folder.rglob("*") if len(path.name) == 64]) == 1
    with held.changing() as change:
        change.delete("faces.staff", "a")
        change.put("faces.staff", {"_id": "a", IMAGE_FIELD: base64.b64encode(jpeg(4)).decode()})
    assert not held.store.rows("SELECT * FROM removal")
    held.close()


def test_images_that_came_together_and_that_nobody_keeps_are_let_go(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path)
    contents = [jpeg(number) for number in range(6)]
    with held.changing() as change:
        change.begin_stream(new_key())
        for number, entry in enumerate(held.intake.ahead([Entry(content) for content in contents])):
            if number in (1, 4):
                change.put("faces.staff", {"_id": number, IMAGE_FIELD: entry.text})
                change.put("faces.staff", {"_id": number + 10, IMAGE_FIELD: entry.text})
    kept = {held.intake.of(contents[number]).digest for number in (1, 4)}
    assert {record.image.digest for record in held.records("faces.staff") if record.image} == kept
    assert {row["digest"] for row in held.store.rows("SELECT digest FROM image")} == kept
    assert {path.name for path in held.files.folder.rglob("*") if len(path.name) == 64} == {
        one.hex() for one in kept
    }
    assert not held.store.rows("SELECT * FROM unlink")
    held.close()


def test_more_images_in_one_entry_than_are_asked_for_at_once_are_all_kept(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path)
    contents = [bytes([number % 256, number // 256]) * 40 for number in range(600)]

    class Many(Entry):
        @property
        def fields(self) -> Document:
            return {"o": [{IMAGE_FIELD: base64.b64encode(content).decode()} for content in contents]}

    with held.changing() as change:
        change.begin_stream(new_key())
        for entry in held.intake.ahead([Many(b"x")]):
            for number, one in enumerate(entry.fields["o"]):
                change.put("faces.staff", {"_id": number, **one})
    assert len(list(held.records("faces.staff"))) == 600
    assert len([path for path in held.files.folder.rglob("*") if len(path.name) == 64]) == 600
    held.close()
