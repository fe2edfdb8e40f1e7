from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.header import BundleName
from isthmus.transfer.inbox import Caps, Inbox, Oversized, pieces, proper
from isthmus.transfer.naming import ENDINGS

NAME = "faces-000001-000000000001.tar"
OTHER = "faces-000001-000000000002.tar"
endings = sorted({ending for family in ENDINGS.values() for ending in family})


def coming(inbox: Inbox, name: str, content: bytes, told: bytes | None = None) -> None:
    """Let a content come under a name."""
    one = inbox.begin(name, len(content), blake3(content if told is None else told).digest())
    one.write(content)
    one.finish()


def lying(inbox: Inbox) -> list[str]:
    return sorted(file.name for file in inbox.folder.iterdir())


@given(
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True),
    st.integers(0, 10**10 - 1),
    st.integers(0, 10**18 - 1),
    st.sampled_from(endings),
    st.none() | st.integers(0, 10**18 - 1),
)
def test_every_name_that_a_bundle_can_have_is_carried(
    stream: str, epoch: int, seq: int, ending: str, beat: int | None
) -> None:
    name = str(BundleName(stream, epoch, seq, ending, beat))
    assert proper(name)
    assert not proper(name + "x")
    assert not proper("." + name)


@given(st.text(max_size=80))
def test_what_is_carried_never_leads_out_of_a_folder(text: str) -> None:
    if proper(text):
        assert "/" not in text and not text.startswith(".") and text.isascii() and len(text) < 200


@pytest.mark.parametrize(
    ("name", "carried"),
    [
        ("recovery-report-000001795140184567.json", True),
        ("recovery-inventory-1.bin", True),
        ("recovery-report-١.json", False),
        ("recovery-report-1.bin", False),
        ("recovery-inventory-1.json", False),
        ("faces-٠٠٠٠٠١-000000000001.tar", False),
        ("faces-0000000001-000000000001.tar", False),
        ("faces-000001-000000000001.exe", False),
        ("faces-000001-000000000001.tar\n", False),
    ],
)
def test_names_are_carried_in_one_form(name: str, carried: bool) -> None:
    assert proper(name) == carried


def test_what_comes_is_whole_or_nothing(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    coming(inbox, NAME, b"first")
    for content, told in ((b"flipped", b"flipqed"), (b"", b"x")):
        with pytest.raises(Corrupt, match="did not come as it was sent"):
            coming(inbox, NAME, content, told)
    short = inbox.begin(NAME, 5, blake3(b"12345").digest())
    short.write(b"123")
    with pytest.raises(Corrupt):
        short.finish()
    long = inbox.begin(NAME, 5, blake3(b"12345").digest())
    with pytest.raises(Corrupt, match="more than the 5 bytes"):
        long.write(b"123456")
    long.abandon()
    assert lying(inbox) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"first"


def test_two_senders_of_one_name_do_not_mix(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    one, other = (inbox.begin(NAME, 4, blake3(content).digest()) for content in (b"aaaa", b"bbbb"))
    for _ in range(2):
        one.write(b"aa")
        other.write(b"bb")
    stamps = {one.finish().stamp, other.finish().stamp}
    assert len(stamps) == 2
    assert (tmp_path / NAME).read_bytes() == b"bbbb"
    assert lying(inbox) == [NAME]


def test_what_is_coming_counts_against_the_caps_until_it_ends(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, Caps(most_file_bytes=60, most_bytes=100, most_files=2, keep_free_bytes=0))
    with pytest.raises(Oversized):
        inbox.ask(NAME, 61)
    one = inbox.begin(NAME, 60, blake3(b"").digest())
    with pytest.raises(OSError) as caught:
        inbox.begin(OTHER, 41, blake3(b"").digest())
    assert caught.value.errno == errno.ENOSPC
    inbox.ask(OTHER, 40)
    one.abandon()
    inbox.ask(OTHER, 60)
    coming(inbox, NAME, b"x")
    coming(inbox, OTHER, b"y")
    inbox.ask(OTHER, 60)
    with pytest.raises(OSError):
        inbox.ask(OTHER.replace("2", "3"), 1)


def test_room_that_others_need_is_left_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no room") as caught:
        Inbox(tmp_path, Caps(keep_free_bytes=1 << 60)).ask(NAME, 1)
    assert caught.value.errno == errno.ENOSPC


def test_what_a_crash_left_is_swept_and_what_is_coming_stays(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    one = inbox.begin(NAME, 4, blake3(b"1234").digest())
    (tmp_path / f".00.{OTHER}.isthmus-coming").write_bytes(b"of a process that is no more")
    Inbox(tmp_path)
    assert len(lying(inbox)) == 1
    one.write(b"1234")
    one.finish()
    assert lying(inbox) == [NAME]


def test_links_folders_and_foreign_files_are_not_there(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (inbox.folder / NAME).symlink_to(secret)
    (inbox.folder / OTHER).mkdir()
    (inbox.folder / "notes.txt").write_bytes(b"x")
    os.mkfifo(inbox.folder / OTHER.replace("2", "3"))
    assert inbox.arrived() == []
    for name in (NAME, OTHER, OTHER.replace("2", "3")):
        with pytest.raises(FileNotFoundError):
            inbox.look(name)
        with pytest.raises(FileNotFoundError):
            inbox.read(name)
    for call in (inbox.look, inbox.read, inbox.drop):
        with pytest.raises(InputError):
            call("notes.txt")


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    coming(inbox, NAME, bytes(100))
    file, arrival = inbox.read(NAME)
    os.truncate(tmp_path / NAME, 50)
    with file, pytest.raises(OSError, match="became shorter"):
        list(pieces(file, 10, arrival.size))
