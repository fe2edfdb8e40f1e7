"""The stream of recovery as a source: the sealed parts of rounds, and the marks where full rounds begin.

A part is made of the files that lie aside for its round, so it comes out with the same bytes as long as the round
is kept. Its bounds were fixed when the round was sealed: nobody can ask for more or less.

A mark is what a snapshot of this stream is: it says that everything follows in parts, from nothing. Asking for a
snapshot makes one, and the next round is a full one. It stays the answer until the sender has gone beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from blake3 import blake3

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.header import Kind
from isthmus.core.ports import Clock, Cut
from isthmus.core.position import Position
from isthmus.recovery.part import BEGIN, CHANGE, FILES, INDEX, Index, Piece
from isthmus.recovery.round import LIVE, Part
from isthmus.recovery.rounds import Rounds

_STRETCH = 1 << 20


class RoundSource:
    """The sealed rounds of a stream, as a `core.ports.Source`."""

    def __init__(self, rounds: Rounds, folder: Callable[[str], Path], clock: Clock) -> None:
        """`folder` tells where the files of a round lie aside."""
        self._rounds, self._folder, self._clock = rounds, folder, clock

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._rounds.stream

    @property
    def key(self) -> bytes:
        """The key of the stream's digests."""
        return self._rounds.key

    def position(self) -> Position:
        """Return the position of the last part or mark."""
        return self._rounds.position()

    def counts(self) -> Mapping[str, int]:
        """Return how many rounds were sealed, and the tables and rows of the last."""
        return self._rounds.counts()

    def after(self, position: Position, most_bytes: int) -> Cut | None:
        """Return the part after a position, whatever its size; None at the end.

        Raises InputError where it is not kept, where a mark stands there, or where the stream never was.
        """
        self._known(position)
        self._rounds.pass_marks(position)
        if position == self.position():
            return None
        part = self._rounds.part(position.epoch, position.seq + 1)
        if part is None or not part.round:
            raise InputError(f"after {position} a full round of {self.stream} begins", "send its mark")
        folder = self._folder(part.round)
        live = {row.key for row in self._rounds.rounds(*LIVE)}
        if part.round not in live or not folder.is_dir():
            raise InputError(f"the round {part.round} of {self.stream} is not kept any more", "send a full round")
        return Cut(Kind.INCREMENT, position, part.position, _members(part, folder), part.counts)

    def pending(self, position: Position) -> int:
        """Return how many bytes the parts after a position have. Raises InputError as `after` does."""
        self._known(position)
        part = self._rounds.part(position.epoch, position.seq + 1)
        if part is not None and not part.round:
            raise InputError(f"after {position} a full round of {self.stream} begins", "send its mark")
        return self._rounds.pending(position)

    def snapshot(self) -> Cut:
        """Return the mark of the full round that comes next or whose parts have not been asked for yet."""
        mark = self._rounds.mark(self._clock.now())
        members = {BEGIN: partial(_once, mark.body)}
        return Cut(Kind.SNAPSHOT, Position(mark.position.epoch, 0), mark.position, members)

    def needed(self) -> tuple[int, int] | None:
        """Return the (epoch, seq) where the first round begins that no standby has confirmed; None without one.

        A full round begins with its mark.
        """
        live = self._rounds.rounds(*LIVE)
        return (live[0].epoch, live[0].first_seq - live[0].full) if live else None

    def _known(self, position: Position) -> None:
        """Return where the stream stood at a position once, and remembers it. Raises InputError."""
        if position.seq:
            part = self._rounds.part(*position.order)
            known = part is not None and part.position == position
        else:
            known = position == Position(self._rounds.epoch, 0)
        if not known:
            raise InputError(f"stream {self.stream} does not know {position}", "send a full round")


def _members(part: Part, folder: Path) -> dict[str, Callable[[], Iterator[bytes]]]:
    """Make the members of a part. They read nothing but files: other threads may open them."""
    index = Index.of_bytes(part.body)
    members: dict[str, Callable[[], Iterator[bytes]]] = {
        INDEX: partial(_once, part.body),
        FILES: partial(_content, folder, index.pieces, part.places),
    }
    if part.change is not None:
        members[CHANGE] = partial(_once, part.change)
    return members


def _once(content: bytes) -> Iterator[bytes]:
    yield content


def _content(folder: Path, pieces: tuple[Piece, ...], places: tuple[str, ...]) -> Iterator[bytes]:
    """Stream the pieces of a part. Raises Corrupt for a file that is not what was sealed, InputError: it went."""
    for piece, place in zip(pieces, places, strict=True):
        state, left = blake3(), piece.length
        try:
            with (folder / place).open("rb") as file:
                file.seek(piece.offset)
                while left and (stretch := file.read(min(_STRETCH, left))):
                    left -= len(stretch)
                    state.update(stretch)
                    yield stretch
        except FileNotFoundError as error:
            raise InputError(f"{folder / place} is not kept any more", "send a full round") from error
        if left or (piece.length == piece.size and state.digest() != piece.digest):
            raise Corrupt(
                f"{folder / place} is not what it was when it was sealed",
                "see to this site's disk; have the table's file put back from the standby",
            )
