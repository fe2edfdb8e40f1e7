from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError
from isthmus.transfer.resend import MOST_STRETCHES, Request

STRETCHES = st.lists(st.integers(0, 10**9), min_size=2, max_size=24, unique=True).map(
    lambda ends: list(zip(*[iter(sorted(ends))] * 2, strict=False))
)
STREAMS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)


@given(STREAMS, st.integers(1, 999), st.one_of(st.just([]), STRETCHES))
def test_a_line_reads_back_as_it_was_written(stream: str, epoch: int, missing: list[tuple[int, int]]) -> None:
    request = Request.of(stream, epoch, missing)
    assert Request.read(str(request)) == request
    assert len(request.stretches) <= MOST_STRETCHES
    for since, until in missing:
        assert any(begin <= since and until <= end for begin, end in request.stretches)


@given(STREAMS, STRETCHES, st.data())
def test_a_mistyped_character_is_noticed(stream: str, missing: list[tuple[int, int]], data: st.DataObject) -> None:
    line = str(Request.of(stream, 3, missing))
    at = data.draw(st.integers(0, len(line) - 1))
    kind = data.draw(st.sampled_from(["other", "left out", "swapped", "doubled"]))
    typed = {
        "other": line[:at] + data.draw(st.sampled_from("0123456789abcxyz-, ")) + line[at + 1 :],
        "left out": line[:at] + line[at + 1 :],
        "swapped": line[:at] + line[at : at + 2][::-1] + line[at + 2 :],
        "doubled": line[:at] + line[at] + line[at:],
    }[kind]
    try:
        read = Request.read(typed)
    except InputError:
        return
    assert read == Request.read(line), "only what does not matter passes"


def test_capitals_spaces_dashes_and_look_alikes_are_forgiven() -> None:
    request = Request("faces", 12, ((120, 130), (145, 150)))
    line = str(request)
    assert line.startswith("faces 12 120-130,145-150 ")
    body, _, check = line.rpartition(" ")
    forgiven = check.replace("0", "o").replace("1", "l").lower()
    assert Request.read(f"  {body.upper().replace('-', ' – ').replace(',', ' , ')}   {forgiven}\n") == request


def test_a_snapshot_is_asked_for_in_one_word() -> None:
    assert str(Request("faces", 2)).startswith("faces 2 snapshot ")


@pytest.mark.parametrize("line", ["", " ", "faces", "faces 1 snapshot", "faces 1 snapshot AAAAAA"])
def test_what_is_no_line_is_refused_with_a_way_out(line: str) -> None:
    with pytest.raises(InputError, match="again"):
        Request.read(line)
