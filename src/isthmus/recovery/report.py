"""The report of a site of a pair: what it is and where it stands, signed, on its way back to the other site.

A report is state, not an event: the one with the highest number is the only one that counts, so none of them has
to arrive. A report is one line of JSON, followed by the two lines of `proof`; nothing of it is parsed before that
is verified. Numbers grow with the writer's clock where it goes forward, and by one where it does not: so they
never go back, whatever the clock does, and a writer whose state was lost goes on above those that it had given.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from isthmus.core.errors import Corrupt, InputError, Refused
from isthmus.core.ports import Carrier, Clock
from isthmus.recovery import inventory
from isthmus.recovery.proof import PROOF_BYTES, proof, signer
from isthmus.recovery.statement import MOST_BYTES, Report
from isthmus.state.files import abandoned
from isthmus.state.store import Store
from isthmus.transfer.gate import Step, no_step
from isthmus.transfer.refusal import NewerFormat, TooLarge, UnknownKey
from isthmus.transfer.signing import PublicKey, SigningKey

PURPOSE = "isthmus recovery report 1"
__all__ = ["Report", "ReportBox"]

KEPT = {"report": 4, "inventory": 2}
"""So many of its own files a writer leaves on the way; earlier ones are taken back."""

ENDINGS = {"report": "json", "inventory": "bin"}

_REASONS: Mapping[type[Exception], str] = {UnknownKey: "key", TooLarge: "size", NewerFormat: "format"}
_MOST_NAMES = 64
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = (
    """CREATE TABLE report_heard (
        stream TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, content BLOB NOT NULL,
        PRIMARY KEY (stream, kind)
    );
    CREATE TABLE report_given (stream TEXT PRIMARY KEY, number INTEGER NOT NULL);
    CREATE TABLE report_on_the_way (name TEXT PRIMARY KEY, stream TEXT NOT NULL, kind TEXT NOT NULL,
        number INTEGER NOT NULL)""",
)


class ReportBox:
    """Writes the reports and inventories of one site, or reads the other's, over a carrier; or does both.

    `key` signs what is written; files signed by one of `allowed` are read, and others of the stream left alone.
    What does not count is counted in `ignored` by its reason: `key`, `signature` (perhaps it is still growing),
    `format`, `size`, `name` (another number than inside), `number` (one that was overtaken long ago came again).
    """

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        stream: str,
        folder: Path,
        clock: Clock,
        *,
        key: SigningKey | None = None,
        allowed: Collection[PublicKey] = (),
        step: Step = no_step,
    ) -> None:
        """Prepare. `folder` takes copies while they are verified; what a crash left of them is removed."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in filter(abandoned, folder.glob("*.report-copy")):
            left.unlink(missing_ok=True)
        store.migrate("recovery reports", _STEPS)
        self._store, self._carrier, self._stream, self._folder = store, carrier, stream, folder
        self._clock, self._key, self._allowed, self._step = clock, key, frozenset(allowed), step
        self._name = re.compile(rf"{re.escape(stream)}-(report|inventory)-([0-9]{{18}})\.(json|bin)", re.ASCII)
        self._judged: dict[str, str] = {}
        self.ignored: Counter[str] = Counter()
        self.trouble = ""

    def write(self, report: Report) -> Report:
        """Number, sign and send a report; return it with its number. Raises InputError, OSError."""
        numbered = replace(report, number=self._number())
        line = numbered.to_bytes()
        with self._copy("report") as file:
            file.write_bytes(line + proof(self._signing(), PURPOSE, line))
            self._send("report", numbered.number, file)
        return numbered

    def write_inventory(self, contents: Mapping[bytes, int], site: str = "") -> int:
        """Send which contents (BLAKE3 to size) this site holds; return the number. Raises TooLarge, OSError."""
        number = self._number()
        told = inventory.Inventory(self._stream, site, number, self._clock.now(), len(contents))
        with self._copy("inventory") as file:
            inventory.write(file, told, contents, self._signing())
            self._send("inventory", number, file)
        return number

    def latest(self) -> Report | None:
        """Return the newest report that counts, from what has come or had come before; None before the first.

        A road that refuses takes nothing away from what is known: `trouble` then says why nothing newer came.
        """
        try:
            self._listen()
        except (OSError, Refused) as error:
            self.trouble = str(error)
        else:
            self.trouble = ""
        return self.heard()

    def heard(self) -> Report | None:
        """Return the newest report that was read here before, without a look at the road."""
        heard = self._heard("report")
        return Report.of_bytes("the last report", heard[1]) if heard else None

    def inventory(self) -> dict[bytes, int] | None:
        """Return what the newest inventory that counts lists, BLAKE3 to size; None where none lies there.

        Raises OSError, and Refused where the road refuses who asks.
        """
        before = (self._heard("inventory") or (-1, b""))[0]
        found: dict[bytes, int] | None = None
        for name, mark, file in self._came("inventory", inventory.MOST_BYTES):
            number, why = self._number_of(name), "signature"
            try:
                told, contents = inventory.read(file, self._allowed)
                why = "format"
                if (told.stream, told.number) != (self._stream, number):
                    self._ignore(name, mark, "name")
                elif found is None and number >= before:
                    found = dict(contents())
                    self._hear("inventory", number, b"")
                else:
                    self._overtaken(name, number < before)
            except (Corrupt, Refused) as error:
                self._ignore(name, mark, _REASONS.get(type(error), why))
        return found

    def _listen(self) -> None:
        """Read what has come; keep the newest report, and take away those that it overtakes."""
        before = last = (self._heard("report") or (-1, b""))[0]
        for name, mark, file in self._came("report", MOST_BYTES):
            number, why = self._number_of(name), "signature"
            if number == last == before:
                continue
            try:
                line = self._proven(name, file.read_bytes())
                why = "format"
                report = Report.of_bytes(name, line)
            except (Corrupt, Refused) as error:
                self._ignore(name, mark, _REASONS.get(type(error), why))
                continue
            if (report.stream, report.number) != (self._stream, number):
                self._ignore(name, mark, "name")
            elif number > last:
                self._hear("report", number, line)
                self._step("report heard")
                last = number
            else:
                self._overtaken(name, number < before)

    def _proven(self, name: str, content: bytes) -> bytes:
        """Return the line of a report whose signature holds. Raises Tampered, UnknownKey, TooLarge."""
        if len(content) > MOST_BYTES:
            raise TooLarge.at(name, f"more than {MOST_BYTES:,} bytes")
        line, lines = content[:-PROOF_BYTES], content[-PROOF_BYTES:]
        signer(name, lines, self._allowed, PURPOSE, line)
        return line

    def _came(self, kind: str, most_bytes: int) -> Iterator[tuple[str, str, Path]]:
        """Hand out copies of what has come and was not judged yet, the highest number first: name, mark, file."""
        names = [name for name in self._carrier.names() if self._kind_of(name) == kind]
        self._judged = {
            name: mark for name, mark in self._judged.items() if name in names or self._kind_of(name) != kind
        }
        looked = 0
        for name in sorted(names, reverse=True):
            if looked == _MOST_NAMES:
                return
            try:
                look = self._carrier.look(name)
                mark = f"{look.size} {look.stamp}"
                if self._judged.get(name) == mark:
                    continue
                looked += 1
                if look.size > most_bytes:
                    self._ignore(name, mark, "size")
                    continue
                with self._copy(kind) as file:
                    self._carrier.take(name, file)
                    yield name, mark, file
            except FileNotFoundError:
                continue  # taken away meanwhile

    def _overtaken(self, name: str, long_ago: bool) -> None:
        """Take a report away that a later one has overtaken; one that comes again much later is counted."""
        if long_ago:
            self.ignored["number"] += 1
        self._carrier.drop(name)

    def _ignore(self, name: str, mark: str, why: str) -> None:
        self._judged[name] = mark
        self.ignored[why] += 1

    def _kind_of(self, name: str) -> str:
        match = self._name.fullmatch(name)
        return match[1] if match else ""

    def _number_of(self, name: str) -> int:
        match = self._name.fullmatch(name)
        return int(match[2]) if match else -1

    def _send(self, kind: str, number: int, file: Path) -> None:
        """Put a file, and take those of its kind back that are too many."""
        name = f"{self._stream}-{kind}-{number:018d}.{ENDINGS[kind]}"
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO report_on_the_way VALUES (?, ?, ?, ?)", (name, self._stream, kind, number)
            )
        self._step("report noted")
        self._carrier.put(name, file)
        self._step("report put")
        rows = self._store.rows(
            "SELECT name FROM report_on_the_way WHERE stream = ? AND kind = ? ORDER BY number DESC",
            (self._stream, kind),
        )
        for row in rows[KEPT[kind] :]:
            self._carrier.drop(row["name"])
            with self._store.transaction() as connection:
                connection.execute("DELETE FROM report_on_the_way WHERE name = ?", (row["name"],))

    def _number(self) -> int:
        """Give the next number: milliseconds since 1970, or one more than the last where that is not more."""
        now = (self._clock.now() - _BEGINNING) // timedelta(milliseconds=1)
        with self._store.transaction() as connection:
            row = connection.execute(
                "SELECT number FROM report_given WHERE stream = ?", (self._stream,)
            ).fetchone()
            number = max(now, row["number"] + 1 if row else 1, 1)
            connection.execute("REPLACE INTO report_given VALUES (?, ?)", (self._stream, number))
        return int(number)

    def _heard(self, kind: str) -> tuple[int, bytes] | None:
        rows = self._store.rows(
            "SELECT number, content FROM report_heard WHERE stream = ? AND kind = ?", (self._stream, kind)
        )
        return (rows[0]["number"], rows[0]["content"]) if rows else None

    def _hear(self, kind: str, number: int, content: bytes) -> None:
        with self._store.transaction() as connection:
            connection.execute(
                "REPLACE INTO report_heard VALUES (?, ?, ?, ?)", (self._stream, kind, number, content)
            )

    def _signing(self) -> SigningKey:
        if self._key is None:
            raise InputError(f"this box only reads reports of {self._stream}", "give it a key to sign with")
        return self._key

    @contextlib.contextmanager
    def _copy(self, kind: str) -> Iterator[Path]:
        """Name a file of our own that is gone afterwards."""
        file = self._folder / f"{os.getpid()}-{kind}-{secrets.token_hex(4)}.report-copy"
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)
