from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.image import joined, size_of


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_content_in_pieces_is_the_same_as_in_one(pieces: list[bytes]) -> None:
    whole, apart = b"".join(pieces), tuple(map(memoryview, pieces))
    assert joined(apart) == joined(memoryview(whole)) == whole
    assert size_of(apart) == size_of(memoryview(whole)) == size_of(whole) == len(whole)


def test_bytes_are_not_copied() -> None:
    content = b"some content"
    assert joined(content) is content
