"""Following an oplog through pymongo's own calls, on a collection that stands in for a server's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
import pymongo
import pytest
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import errors

from isthmus.core.errors import InputError, SourceError
from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.read import entries
from isthmus.gallery.oplog.tail import Disconnected, MongoOplog, follow
from oplog_making import Site, change, delete, insert
from samples import SAMPLES, needs_samples


def ts(number: int) -> Timestamp:
    return Timestamp(1_700_000_000, number)


class Capped:
    """A capped collection of recorded entries, with the calls of pymongo's Collection that a follower makes."""

    def __init__(self, raws: list[bytes]) -> None:
        self.raws = list(raws)
        self.failing: Exception | None = None
        self.ended = False
        self.asked: list[dict[str, Any]] = []
        self.open = 0

    def with_options(self, codec_options: Any) -> Capped:
        assert codec_options.document_class is RawBSONDocument
        return self

    def find(self, wanted: dict[str, Any], cursor_type: int = 0) -> Found:
        self.asked.append(wanted)
        return Found(self, wanted, cursor_type)


class Found:
    """A cursor of pymongo over it; a tailable one sees what is added later."""

    def __init__(self, capped: Capped, wanted: dict[str, Any], cursor_type: int) -> None:
        self._capped, self._tailing = capped, cursor_type == pymongo.CursorType.TAILABLE_AWAIT
        self._from = wanted["ts"]["$gte"] if wanted else Timestamp(0, 0)
        self._given = 0
        self._turned = False
        self.alive = not (self._tailing and not capped.raws)
        capped.open += 1

    def sort(self, field: str, direction: int) -> Found:
        assert field == "$natural"
        self._turned = direction < 0
        return self

    def limit(self, most: int) -> Found:
        assert most == 1
        return self

    def max_await_time_ms(self, milliseconds: int) -> Found:
        assert self._tailing and milliseconds > 0
        return self

    def __iter__(self) -> Iterator[RawBSONDocument]:
        self._raise()
        raws = reversed(self._capped.raws) if self._turned else self._capped.raws
        if not self._tailing:
            return iter([RawBSONDocument(raw) for raw in raws])
        return self

    def __next__(self) -> RawBSONDocument:
        self._raise()
        fitting = [raw for raw in self._capped.raws if RawEntry(raw).ts >= self._from]
        self.alive = self.alive and not self._capped.ended
        if self._given == len(fitting):
            raise StopIteration  # for now: pymongo's tailable cursors go on afterwards
        self._given += 1
        return RawBSONDocument(fitting[self._given - 1])

    def close(self) -> None:
        self._capped.open -= 1

    def _raise(self) -> None:
        if self._capped.failing is not None:
            raise self._capped.failing


RAWS = [insert({"_id": number}, number) for number in range(1, 6)]


def never() -> bool:
    return False


def test_everything_that_is_kept_comes_in_order_and_as_the_servers_bytes() -> None:
    assert [one.raw for one in follow(MongoOplog(Capped(RAWS)), None, never)] == RAWS


def test_following_goes_on_after_the_last_entry_that_was_taken() -> None:
    capped = Capped(RAWS)
    assert [one.ts for one in follow(MongoOplog(capped), ts(3), never)] == [ts(4), ts(5)]
    assert capped.asked[0] == {"ts": {"$gte": ts(3)}}


def test_what_is_written_meanwhile_comes_too() -> None:
    capped = Capped(RAWS[:2])
    asked = []

    def idle() -> bool:
        asked.append(len(capped.raws))
        capped.raws.extend(RAWS[len(capped.raws) : len(capped.raws) + 1])
        return len(asked) < 5

    assert [one.raw for one in follow(MongoOplog(capped), ts(1), idle)] == RAWS[1:]


def test_a_cursor_that_ended_is_opened_again_at_the_last_entry() -> None:
    capped = Capped([])
    rounds = []

    def idle() -> bool:
        rounds.append(1)
        capped.ended = len(rounds) % 2 == 0
        capped.raws = RAWS[: len(rounds)]
        return len(rounds) < 8

    assert [one.raw for one in follow(MongoOplog(capped), None, idle)] == RAWS
    assert {"ts": {"$gte": ts(4)}} in capped.asked or {"ts": {"$gte": ts(5)}} in capped.asked


def test_an_oplog_that_rolled_over_the_last_entry_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(
        InputError, match=r"1700000000\.2.* rolled over: the oplog begins at 1700000000\.3.*snapshot"
    ):
        list(follow(MongoOplog(Capped(RAWS[2:])), ts(2), never))
    with pytest.raises(InputError, match="the oplog is empty"):
        list(follow(MongoOplog(Capped([])), ts(2), never))


def test_an_entry_that_the_server_rolled_back_is_noticed() -> None:
    with pytest.raises(InputError, match="rolled back"):
        list(follow(MongoOplog(Capped([*RAWS[:2], *RAWS[3:]])), ts(3), never))
    with pytest.raises(InputError, match="rolled back"):
        list(follow(MongoOplog(Capped(RAWS[:3])), ts(5), never))


def test_an_oplog_that_rolls_over_while_it_is_followed_is_noticed_when_the_cursor_ends() -> None:
    capped = Capped(RAWS[:2])

    def idle() -> bool:
        capped.ended, capped.raws = not capped.ended, RAWS[3:]
        return True

    with pytest.raises(InputError, match="rolled over"):
        list(follow(MongoOplog(capped), None, idle))


@pytest.mark.parametrize(
    ("failure", "raised", "again"),
    [
        (errors.AutoReconnect("gone"), Disconnected, True),
        (errors.ServerSelectionTimeoutError("none"), Disconnected, True),
        (errors.CursorNotFound("cursor id 5 not found", 43), Disconnected, True),
        (errors.OperationFailure("CappedPositionLost", 136), InputError, False),
        (errors.OperationFailure("not authorized on local", 13), SourceError, False),
    ],
)
def test_failures_of_the_server_say_whether_to_try_again(failure: Exception, raised: type, again: bool) -> None:
    capped = Capped(RAWS)
    got = []
    with pytest.raises(raised) as caught:
        for one in follow(MongoOplog(capped), None, never):
            got.append(one.ts)
            capped.failing = failure if len(got) == 2 else None
    assert got == [ts(1), ts(2)] and caught.value.retryable is again  # type: ignore[attr-defined]
    assert capped.open == 0
    capped.failing = None
    assert [one.ts for one in follow(MongoOplog(capped), got[-1], never)] == [ts(3), ts(4), ts(5)]


def test_the_ends_of_an_oplog_are_told() -> None:
    oplog = MongoOplog(Capped(RAWS))
    assert (oplog.oldest(), oplog.newest()) == (ts(1), ts(5))
    assert (MongoOplog(Capped([])).oldest(), MongoOplog(Capped([])).newest()) == (None, None)


def test_a_connection_string_that_is_none_is_told_at_once() -> None:
    with pytest.raises(InputError, match="connection string"):
        MongoOplog.at("mongo://nowhere")


def test_a_server_that_is_not_there_can_be_tried_again() -> None:
    oplog = MongoOplog.at("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=20&directConnection=true")
    with pytest.raises(Disconnected):
        oplog.oldest()
    cursor = oplog.since(ts(1))
    with pytest.raises(Disconnected):
        cursor.next_or_none()
    cursor.close()


def test_following_and_reading_a_file_lead_to_the_same_set() -> None:
    raws = [insert({"_id": 1, "a": 1}, 1), change(1, {"u": {"a": 2}}, 2), insert({"_id": 2}, 3), delete(2, 4)]
    followed, read = Site(), Site()
    followed.apply(*(one.raw for one in follow(MongoOplog(Capped(raws)), None, never)))
    read.apply(*(one.raw for one in entries([b"".join(raws)])))
    assert followed.bytes() == read.bytes() == {"airport.people": [bson.encode({"_id": 1, "a": 2})]}


@needs_samples
def test_a_recorded_oplog_comes_through_the_follower_unchanged() -> None:
    content = (SAMPLES / "oplog" / "inserts_deletes_creates.bson").read_bytes()
    raws = [one.raw for one in entries([content])]
    assert b"".join(one.raw for one in follow(MongoOplog(Capped(raws)), None, never)) == content
