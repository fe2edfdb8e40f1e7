"""Makes the files of a bundle from its row in the ledger: the same row gives the same bytes, at any time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from isthmus.core.errors import InputError
from isthmus.core.header import Header, Kind
from isthmus.core.ports import Cut, Source
from isthmus.core.position import Position
from isthmus.state.files import sync_folder
from isthmus.transfer.bundle import LEVEL
from isthmus.transfer.formats import seal
from isthmus.transfer.gate import Step
from isthmus.transfer.ledger import Bundled
from isthmus.transfer.naming import names_of
from isthmus.transfer.signing import SigningKey

_MAKING = ".making"
"""What the folders begin with in which bundles are made, each in its own: several are made at a time."""


class MovedOn(InputError):
    """The source cannot give again what the row says: the changes are gone, or the content has moved on."""


def cut_again(source: Source, row: Bundled) -> Cut:
    """Cut from the source what a row says. Raises MovedOn where that cannot be had any more."""
    if row.kind is Kind.HEARTBEAT:
        return Cut(row.kind, row.until, row.until, {}, row.counts)
    if row.kind is Kind.SNAPSHOT:
        cut: Cut | None = source.snapshot()
    else:
        try:
            cut = _ending_at(source, row.since, row.until, row.most_bytes)
        except InputError as error:
            raise MovedOn(f"the changes from {row.since} to {row.until} are not kept any more") from error
    if cut is None or (cut.since, cut.until) != (row.since, row.until):
        raise MovedOn(f"the source does not give {row.kind.value} {row.until} again")
    return cut


def _ending_at(source: Source, since: Position, until: Position, most_bytes: int) -> Cut | None:
    """Cut as before. A source that has grown since may cut more now: then a smaller size gives the same end."""
    cut = source.after(since, most_bytes)
    low, high = 1, most_bytes
    while cut is not None and cut.until != until and low < high:
        middle = (low + high) // 2
        cut = source.after(since, middle)
        if cut is not None and cut.until.seq < until.seq:
            low = middle + 1
        else:
            high = middle
    return cut if cut is None or cut.until == until else source.after(since, low)


class Sealing:
    """Seals bundles into the outbox."""

    def __init__(
        self,
        outbox: Path,
        stream: str,
        stream_key: bytes,
        site: str,
        key: SigningKey,
        step: Step,
        level: int = LEVEL,
    ) -> None:
        """Prepare. `level` is that of zstd; 0 packs nothing."""
        self._outbox, self._step, self._level = outbox, step, level
        self._stream, self._stream_key, self._site, self._key = stream, stream_key, site, key

    def seal(self, row: Bundled, cut: Cut) -> dict[str, str]:
        """Make the files of a row, durable and under their names; return name to BLAKE3. Raises OSError."""
        header = Header(
            self._stream,
            row.kind,
            row.since,
            row.until,
            self._site,
            row.made,
            self._stream_key,
            "zstd" if self._level else "none",
            cut.counts,
        )
        making = self._outbox / f"{_MAKING}-{names_of(row.format, header, row.beat)[-1]}"
        shutil.rmtree(making, ignore_errors=True)  # what a crash left
        making.mkdir(parents=True)
        try:
            made = seal(row.format, making, header, cut.members, self._key, beat=row.beat, level=self._level)
            self._step("outbound sealed")
            digests = {file.name: digest_of(file) for file in made}
            self._keep(made)
        finally:
            shutil.rmtree(making, ignore_errors=True)  # a full disk needs the room
        return digests

    def sweep(self) -> None:
        """Remove what a crash left of bundles that nobody makes any more. Nothing may be made meanwhile."""
        for making in self._outbox.glob(f"{_MAKING}*"):
            shutil.rmtree(making, ignore_errors=True)

    def _keep(self, made: Iterable[Path]) -> None:
        for file in made:
            file.replace(self._outbox / file.name)
            self._step("outbound kept")
        sync_folder(self._outbox)


def digest_of(file: Path) -> str:
    """Return the BLAKE3 of a file, as hexadecimal digits."""
    state = blake3()
    if os.path.getsize(file):  # noqa: PTH202 - an empty file cannot be mapped
        state.update_mmap(file)
    return state.hexdigest()
