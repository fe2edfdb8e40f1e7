from __future__ import annotations

import socket
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from filing_pictures import arrived, encoded, photo
from isthmus.acquire.failure import Failure
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.wire import MARK, Answer, Batch, Item, decode_answer, encode, frame, receive
from isthmus.acquire.filing.work import Examiner, Seen
from isthmus.acquire.filing.worker import Start, Worker
from isthmus.acquire.image import Arrived


class _Counting(Examiner):
    """Notes how many images were hashed together."""

    def __init__(self, rules: FilingRules) -> None:
        super().__init__(rules, lambda latitude, longitude: None, lambda: datetime.now(UTC))
        self.together: list[int] = []

    def hashed(self, seen: Sequence[Seen | Failure]) -> list[Seen | Failure]:
        self.together.append(len(seen))
        return super().hashed(seen)


def _batch(number: int, images: Sequence[Arrived]) -> bytes:
    items = [
        Item(one.request, one.environment, one.wish, one.digest, one.told, len(_content(one))) for one in images
    ]
    body = b"".join(map(_content, images))
    return frame(encode(Batch(number, items)), len(body)) + body


def _content(came: Arrived) -> bytes:
    assert isinstance(came.content, bytes)
    return came.content


def _served(root: Path, batches: Sequence[bytes]) -> tuple[list[int], dict[int, Answer]]:
    """Let a worker find batches waiting, and the pool gone; return what it hashed together, and its answers."""
    ours, theirs = socket.socketpair()
    examiner = _Counting(FilingRules(str(root)))
    with ours, tempfile.TemporaryFile() as marker:
        marker.truncate(MARK.size)
        ours.sendall(b"".join(batches))
        ours.shutdown(socket.SHUT_WR)
        Worker(Start(examiner._rules, theirs.detach(), marker.fileno()), examiner).run()
        answers = [decode_answer(receive_one[0]) for receive_one in iter(lambda: receive(ours), None)]
        marker.seek(0)
        assert MARK.unpack(marker.read()) == (0, 0)
    assert answers.pop(0) == Answer(0)  # ready
    return examiner.together, {answer.number: answer for answer in answers}


def test_batches_that_wait_are_examined_together_and_answered_apart(tmp_path: Path) -> None:
    contents = [encoded(photo(seed, 24, 16)) for seed in range(3)]
    batches = [[arrived(contents[(k + n) % 3], 10 * n + k) for k in range(n)] for n in range(1, 5)]
    unfit = [arrived(contents[0], 90), arrived(b"<html>", 91)]
    together, answers = _served(tmp_path, [_batch(n, images) for n, images in enumerate([*batches, unfit], 1)])
    assert together == [12]
    assert sorted(answers) == [1, 2, 3, 4, 5]
    for number, images in enumerate(batches, 1):
        told = [outcome.filed for outcome in answers[number].outcomes]
        assert [filed and filed.source_digest for filed in told] == [one.digest for one in images]
    assert [bool(outcome.filed) for outcome in answers[5].outcomes] == [True, False]


def test_no_batch_is_added_to_64_images(tmp_path: Path) -> None:
    content = encoded(photo(1, 24, 16))
    batches = [_batch(n, [arrived(content, 100 * n + k) for k in range(30)]) for n in range(1, 6)]
    together, answers = _served(tmp_path, batches)
    assert together == [90, 60]
    assert {number: len(answer.outcomes) for number, answer in answers.items()} == dict.fromkeys(range(1, 6), 30)
