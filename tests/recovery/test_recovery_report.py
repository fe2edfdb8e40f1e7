from __future__ import annotations

import base64
import dataclasses
import errno
import io
import json
import random
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.core.digest import Digest
from isthmus.core.errors import InputError, Refused
from isthmus.core.position import Position
from isthmus.recovery import inventory
from isthmus.recovery import report as reports
from isthmus.recovery.proof import PROOF_BYTES, proof
from isthmus.recovery.report import Report, ReportBox
from isthmus.recovery.statement import MOST_BYTES, MOST_MISSING
from isthmus.state.store import Store
from isthmus.transfer.memory import MemoryCarrier
from isthmus.transfer.refusal import Tampered
from isthmus.transfer.signing import SigningKey
from rough_gate import flipped
from transfer_doubles import BEGIN, HandClock

STREAM = "recovery"
KEY, OTHER_KEY = SigningKey.create(), SigningKey.create()
GOLDEN = Path(__file__).parents[1] / "golden" / "report-v1"


def statement(**told: object) -> Report:
    values = {"stream": STREAM, "site": "south", "role": "standby", "epoch": 2, "made": BEGIN, **told}
    return Report(**values)  # type: ignore[arg-type]


class Sites:
    """A site that reports and one that reads; `road` lies between them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.road = folder, HandClock(), MemoryCarrier()
        self.store = Store(Path(":memory:"))
        self.writer = self.new_writer()
        self.reader = self.new_reader()

    def new_writer(self, key: SigningKey = KEY, **named: object) -> ReportBox:
        """A writer whose state is new."""
        folder = self.folder / "writer"
        return ReportBox(Store(Path(":memory:")), self.road, STREAM, folder, self.clock, key=key, **named)  # type: ignore[arg-type]

    def new_reader(self, **named: object) -> ReportBox:
        """The reader, begun anew with the state that it has."""
        folder, allowed = self.folder / "reader", {KEY.public}
        return ReportBox(self.store, self.road, STREAM, folder, self.clock, allowed=allowed, **named)  # type: ignore[arg-type]

    def hold(self, report: Report, name: str = "", key: SigningKey = KEY) -> str:
        """Lay a signed report on the road as it is."""
        line = report.to_bytes()
        name = name or f"{STREAM}-report-{report.number:018d}.json"
        self.road.hold(name, line + proof(key, reports.PURPOSE, line))
        return name


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path)


texts = st.text(max_size=30)
moments = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
plain = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False, allow_infinity=False)
)
statements = st.builds(
    Report,
    stream=st.just(STREAM),
    site=texts,
    role=st.sampled_from(["independent", "primary", "yielding", "standby", "fenced"]),
    epoch=st.integers(1, 10**9),
    made=moments,
    standing=st.none() | st.builds(Position, st.integers(1, 10**9), st.integers(0, 10**12), st.just(Digest())),
    barrier=texts,
    barrier_at=st.none() | moments,
    missing=st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=3).map(tuple),
    missing_count=st.integers(3, 10**9),
    request=texts,
    verify=plain,
    progress=plain,
    free_bytes=st.integers(0, 10**17),
    version=texts,
    took_over=texts,
    switchover=texts,
    number=st.integers(0, 10**17),
)


@given(statements)
def test_what_a_report_says_is_read_as_it_was_written(told: Report) -> None:
    line = told.to_bytes()
    assert line.count(b"\n") == 1
    assert Report.of_bytes("x", line) == told
    assert told.essence == dataclasses.replace(told, number=1, made=BEGIN, free_bytes=7).essence


def test_the_newest_report_counts_and_the_ones_before_it_are_taken_away(sites: Sites) -> None:
    assert sites.reader.latest() is None
    for barrier in ("20261120_000000", "20261120_000500", "20261120_001000"):
        sites.clock.forward(30)
        written = sites.writer.write(statement(barrier=barrier))
    assert sites.reader.latest() == written
    assert written.barrier == "20261120_001000"
    assert sites.road.names() == [f"{STREAM}-report-{written.number:018d}.json"]
    assert sites.reader.ignored == {}
    sites.road.files.clear()
    assert sites.new_reader().latest() == written, "what was heard is kept"


def test_a_clock_that_jumps_back_does_not_bring_old_reports_back(sites: Sites) -> None:
    numbers = []
    for jump in (0, 3600, -3600, -86_400, 5, 90_000):
        sites.clock.forward(jump)
        numbers.append(sites.writer.write(statement(barrier=f"now{jump}")).number)
        latest = sites.reader.latest()
        assert latest is not None and latest.barrier == f"now{jump}"
    assert numbers == sorted(set(numbers))


def test_a_writer_that_lost_its_state_is_heard_again(sites: Sites) -> None:
    for _ in range(50):
        sites.writer.write(statement(barrier="before"))
    sites.reader.latest()
    sites.clock.forward(1)
    sites.new_writer().write(statement(barrier="after"))
    latest = sites.reader.latest()
    assert latest is not None and latest.barrier == "after"


@settings(max_examples=25, deadline=None)
@given(order=st.lists(st.integers(0, 9), max_size=30))
def test_whatever_is_lost_repeated_or_late_the_highest_number_that_came_is_what_counts(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    sites = Sites(tmp_path_factory.mktemp("sites"))
    highest = -1
    for number in order:
        sites.hold(statement(number=number + 1, barrier=str(number)))
        highest = max(highest, number)
        latest = sites.reader.latest()
        assert latest is not None and latest.barrier == str(highest)
    assert len(sites.road.names()) == (1 if order else 0)


def test_a_bit_flipped_anywhere_is_never_read(sites: Sites) -> None:
    sites.writer.write(statement(barrier="20261120_000000", request="x"))
    ((name, content),) = sites.road.files.items()
    for bit in random.Random(1).sample(range(len(content) * 8), 400):
        sites.road.hold(name, flipped(content, bit))
        assert sites.reader.latest() is None
    for cut in (0, 1, PROOF_BYTES - 1, PROOF_BYTES, len(content) - 1):
        sites.road.hold(name, content[:cut])
        assert sites.reader.latest() is None
    assert sum(sites.reader.ignored.values()) == 405
    assert set(sites.reader.ignored) <= {"signature", "key"}
    assert name in sites.road.names(), "it may still be growing"
    sites.road.hold(name, content)
    assert sites.reader.latest() is not None


def test_what_does_not_count_is_ignored_by_its_reason_and_once(sites: Sites) -> None:
    good = sites.writer.write(statement(barrier="good"))
    sites.reader.latest()
    above = good.number + 10
    sites.hold(statement(number=above), key=OTHER_KEY)
    sites.hold(statement(number=above + 1, stream="another"), f"{STREAM}-report-{above + 1:018d}.json")
    sites.hold(statement(number=above), f"{STREAM}-report-{above + 2:018d}.json")
    sites.road.hold(f"{STREAM}-report-{above + 3:018d}.json", b"x" * (MOST_BYTES + 1))
    line = statement(number=above + 4).to_bytes().replace(b'"format":1', b'"format":2')
    sites.road.hold(f"{STREAM}-report-{above + 4:018d}.json", line + proof(KEY, reports.PURPOSE, line))
    line = json.dumps(json.loads(line)).encode() + b"\n"
    sites.road.hold(f"{STREAM}-report-{above + 5:018d}.json", line + proof(KEY, "another purpose", line))
    line = b"[" * 100_000
    sites.road.hold(f"{STREAM}-report-{above + 6:018d}.json", line + proof(KEY, reports.PURPOSE, line))
    sites.hold(statement(number=good.number - 1))
    for name in (f"other-report-{above:018d}.json", f"{STREAM}-000001-000000000001.tar", "x"):
        sites.road.hold(name, b"of somebody else")
    for _ in range(3):
        assert sites.reader.latest() == good
    assert sites.reader.ignored == {"key": 1, "name": 2, "size": 1, "format": 2, "signature": 1, "number": 1}
    assert len(sites.road.names()) == 11, "only what was overtaken was taken away"


def test_a_site_does_not_take_its_own_reports_away_where_both_share_a_road(tmp_path: Path) -> None:
    sites = Sites(tmp_path)
    other = sites.new_writer(OTHER_KEY)
    for _ in range(3):
        other.write(statement(site="north"))
        sites.clock.forward(1)
        sites.writer.write(statement())
    assert sites.reader.latest() is not None
    kept = [name for name in sites.road.names() if b'"site":"north"' in sites.road.files[name]]
    assert len(kept) >= 2


def test_a_writer_leaves_but_a_few_on_the_way(sites: Sites) -> None:
    for number in range(10):
        sites.clock.forward(1)
        sites.writer.write(statement())
        sites.writer.write_inventory({bytes([number]) * 32: number})
    assert len([name for name in sites.road.names() if "-report-" in name]) == 4
    assert len([name for name in sites.road.names() if "-inventory-" in name]) == 2
    assert list((sites.folder / "writer").iterdir()) == []


def test_a_road_that_refuses_takes_nothing_away_from_what_is_known(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = sites.writer.write(statement())
    sites.reader.latest()

    for error in (OSError(errno.ECONNRESET, "cut"), Refused("no", "give the token")):

        def fail(*_: object, error: Exception = error) -> list[str]:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(sites.road, "names", fail)
            assert sites.reader.latest() == written
            assert sites.reader.trouble == str(error)
            with pytest.raises((OSError, Refused)):
                sites.reader.inventory()
    assert sites.reader.latest() == written
    assert sites.reader.trouble == ""


class Killed(BaseException):
    """Stands for the end of a process at a step."""


@pytest.mark.parametrize("at", ["report noted", "report put"])
def test_a_writer_that_ends_at_any_step_goes_on(sites: Sites, at: str) -> None:
    def step(told: str) -> None:
        if told == at:
            raise Killed

    store = Store(Path(":memory:"))
    folder = sites.folder / "writer"
    killed = ReportBox(store, sites.road, STREAM, folder, sites.clock, key=KEY, step=step)
    for _ in range(6):
        with pytest.raises(Killed):
            killed.write(statement(barrier="cut short"))
    again = ReportBox(store, sites.road, STREAM, folder, sites.clock, key=KEY)
    again.write(statement(barrier="after"))
    latest = sites.reader.latest()
    assert latest is not None and latest.barrier == "after"
    again.write(statement(barrier="later"))
    assert len(sites.road.names()) <= 4


def test_a_reader_that_ends_once_it_has_heard_goes_on(sites: Sites) -> None:
    def step(told: str) -> None:
        raise Killed

    for barrier in ("first", "second"):
        sites.writer.write(statement(barrier=barrier))
    with pytest.raises(Killed):
        sites.new_reader(step=step).latest()
    reader = sites.new_reader()
    latest = reader.latest()
    assert latest is not None and latest.barrier == "second"
    assert len(sites.road.names()) == 1
    assert [file.name for file in (sites.folder / "reader").iterdir()] == []


def test_more_than_can_be_told_is_cut_and_said_so(sites: Sites) -> None:
    missing = tuple(f"{number:064x}" for number in range(MOST_MISSING + 500))
    sites.writer.write(statement(missing=missing, progress={"lines": ["x" * 100] * 5000}, verify={"equal": True}))
    latest = sites.reader.latest()
    assert latest is not None
    assert (len(latest.missing), latest.missing_count) == (MOST_MISSING, MOST_MISSING + 500)
    assert set(latest.progress) == {"left_out_bytes"}
    assert latest.verify == {"equal": True}
    for wrong in ({"request": "x" * MOST_BYTES}, {"verify": {"x": float("nan")}}, {"verify": {"x": object()}}):
        with pytest.raises(InputError):
            sites.writer.write(statement(**wrong))
    with pytest.raises(InputError, match="give it a key"):
        sites.reader.write(statement())


def contents(count: int) -> dict[bytes, int]:
    return {blake3(str(number).encode()).digest(): number * 977 for number in range(count)}


def test_an_inventory_is_read_as_it_was_written(sites: Sites) -> None:
    assert sites.reader.inventory() is None
    for count in (0, 1, 8191, 8192, 8193, 30_000):
        sites.writer.write_inventory(contents(count), "south")
        assert sites.reader.inventory() == contents(count)
        assert len(sites.road.names()) == 1
    assert sites.reader.inventory() == contents(30_000), "it stays until a newer one comes"
    size = len(next(iter(sites.road.files.values())))
    assert size < 30_000 * 40 + 500


def test_an_inventory_that_was_overtaken_never_comes_back(sites: Sites) -> None:
    sites.writer.write_inventory(contents(3))
    old = dict(sites.road.files)
    sites.writer.write_inventory(contents(5))
    assert sites.reader.inventory() == contents(5)
    for name in sites.road.names():
        sites.road.drop(name)
    for name, content in old.items():
        sites.road.hold(name, content)
    assert sites.reader.inventory() is None
    assert sites.reader.ignored["number"] == 1
    assert sites.road.names() == []


def test_a_bit_flipped_anywhere_in_an_inventory_is_never_read(sites: Sites) -> None:
    sites.writer.write_inventory(contents(20))
    ((name, content),) = sites.road.files.items()
    for bit in random.Random(2).sample(range(len(content) * 8), 300):
        sites.road.hold(name, flipped(content, bit))
        assert sites.reader.inventory() is None
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        sites.road.hold(name, content[:cut])
        assert sites.reader.inventory() is None
    assert sum(sites.reader.ignored.values()) == 304


@pytest.mark.parametrize("how", ["unsorted", "twice", "too few", "too many", "torn", "no frame", "a bomb"])
def test_an_inventory_that_does_not_hold_what_it_says_is_refused_though_it_is_signed(
    tmp_path: Path, how: str
) -> None:
    listed = sorted(contents(10).items())
    told = inventory.Inventory(STREAM, "south", 1, BEGIN, 10)
    entries = {"unsorted": listed[::-1], "twice": [*listed[:9], listed[8]], "too few": listed[:9]}.get(how, listed)
    if how == "too many":
        entries = [*listed, (b"\xff" * 32, 1)]
    raw = b"".join(digest + size.to_bytes(8, "little") for digest, size in entries)
    raw = raw[:-1] if how == "torn" else bytes(200 << 20) if how == "a bomb" else raw
    frame = b"no frame" if how == "no frame" else zstandard.ZstdCompressor().compress(raw)
    line = told.to_bytes()
    file = tmp_path / "file"
    file.write_bytes(line + frame + proof(KEY, inventory.PURPOSE, line, blake3(frame).digest()))
    found, stream = inventory.read(file, {KEY.public})
    assert found == told
    with pytest.raises(Tampered):
        dict(stream())


def test_the_document_alone_is_enough_to_read_both() -> None:
    """A second implementation, written from docs/formats.md."""

    def checked(purpose: str, lines: bytes, *parts: bytes) -> None:
        public, signature = lines.decode().splitlines()
        signed = purpose.encode() + b"\0" + b"".join(struct.pack("<Q", len(part)) + part for part in parts)
        raw = base64.b64decode(public.removeprefix("ed25519:"))
        Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature), signed)

    (listed, told) = sorted(GOLDEN.iterdir())
    content = told.read_bytes()
    line, lines = content[:-142], content[-142:]
    checked("isthmus recovery report 1", lines, line)
    assert json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode() + b"\n" == line
    assert told.name == f"recovery-report-{json.loads(line)['number']:018d}.json"
    content = listed.read_bytes()
    first = content[: content.index(b"\n") + 1]
    frame = content[len(first) : -142]
    checked("isthmus recovery inventory 1", content[-142:], first, blake3(frame).digest())
    entries = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(frame)).read()
    found = {entries[at : at + 32]: struct.unpack("<Q", entries[at + 32 : at + 40])[0] for at in range(0, 120, 40)}
    assert found == {blake3(one).digest(): len(one) for one in (b"one", b"three", b"")}
    assert json.loads(first)["contents"] == 3
