from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from examples import examples, tries
from gate_bench import Bench, receiving, sending
from rough_gate import RoughGate, flipped

NUMBER = st.integers(0, 10_000)
KEYS = st.sampled_from("abcdef")


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync nothing: here no power fails, and the disk would be all that is measured."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class RoughCrossing(RuleBasedStateMachine):
    """Whatever the gate does, the receiver stands only where the sender once stood, and a snapshot heals it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="isthmus-gate-")

    @initialize(
        form=st.sampled_from(["tar", "plain"]),
        consume=st.booleans(),
        settle_s=st.sampled_from([0.0, 30.0]),
        most_staged=st.sampled_from([1, 2, 100]),
    )
    def begin(self, form: str, consume: bool, settle_s: float, most_staged: int) -> None:
        self.bench = Bench(
            Path(self.folder.name),
            sending(format=form, heartbeat_s=5.0, carousel_s=20.0, carousel_files=2, keep_files=4),
            receiving(consume=consume, settle_s=settle_s, most_staged=most_staged),
        )
        self.gate = RoughGate(self.bench.inside, self.bench.outside)

    @rule(key=KEYS, text=st.one_of(st.none(), st.text(max_size=5)), seconds=st.integers(-30, 30))
    def change(self, key: str, text: str | None, seconds: int) -> None:
        self.bench.clock.forward(seconds)
        self.bench.send((key, text))
        self.gate.look()

    @rule()
    def snapshot(self) -> None:
        self.bench.sender.snapshot()
        self.gate.look()

    @rule()
    def new_epoch(self) -> None:
        self.bench.source.begin_epoch()
        self.bench.send()
        self.gate.look()

    @rule()
    def resend(self) -> None:
        line = self.bench.receiver.request()
        if line:
            self.bench.sender.resend(line)
            self.gate.look()

    @rule(number=NUMBER)
    def carry(self, number: int) -> None:
        self.gate.carry(number)

    @rule()
    def carry_all(self) -> None:
        for number in range(len(self.gate.known)):
            self.gate.carry(number)

    @rule(number=NUMBER, size=NUMBER)
    def cut_off(self, number: int, size: int) -> None:
        self.gate.cut_off(number, size)

    @rule(number=NUMBER, bit=st.integers(0, 1_000_000))
    def flip(self, number: int, bit: int) -> None:
        self.gate.flip(number, bit)

    @rule(number=NUMBER, other=NUMBER)
    def rename(self, number: int, other: int) -> None:
        self.gate.rename(number, other)

    @rule(number=NUMBER)
    def lose(self, number: int) -> None:
        self.gate.lose(number)

    @rule(seconds=st.integers(-30, 120))
    def receive(self, seconds: int) -> None:
        self.bench.clock.forward(seconds)
        self.bench.receive()

    @rule()
    def begin_again(self) -> None:
        self.bench.receiver, self.bench.sender = self.bench.new_receiver(), self.bench.new_sender()

    @invariant()
    def stands_at_a_true_past_state(self) -> None:
        assert self.bench.true_past()
        kinds = {alarm.kind.name for alarm in self.bench.receiver.status().alarms}
        assert not kinds & {"FORK", "DIVERGED", "DISK", "UNKNOWN_KEY"}, kinds

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.heal()
        self.folder.cleanup()

    def heal(self) -> None:
        """Send one more change, and a snapshot; carry the snapshot alone: that is enough."""
        self.bench.send(("last", "1"))
        self.bench.sender.snapshot()
        position = self.bench.source.position()
        stem = f"faces-{position.epoch:06d}-{position.seq:012d}.snapshot."
        self.bench.carry(*(name for name in self.bench.inside.names() if name.startswith(stem)))
        self.bench.receive()
        self.bench.receive()
        assert self.bench.level(), self.bench.receiver.status()
        assert self.bench.receiver.request() == ""


RoughCrossing.TestCase.settings = settings(max_examples=examples(12), stateful_step_count=25, deadline=None)
test_the_receiver_stands_only_at_a_true_past_state = RoughCrossing.TestCase


@tries("places", 150, 1000)
@pytest.mark.parametrize("form", ["tar", "plain"])
def test_a_flipped_bit_anywhere_is_never_applied(tmp_path: Path, form: str, places: int) -> None:
    """Over all files of a bundle, each through the whole receiver."""
    bench = Bench(tmp_path, sending(format=form), receiving(most_quarantined=10))
    names = bench.send(*((f"k{n}", "x" * n) for n in range(20)))
    bits = [(name, bit) for name in names for bit in range(8 * len(bench.inside.files[name]))]
    tried = 0
    for name, bit in bits[:: len(bits) // places // 8 * 8 - 1]:  # every bit of a byte gets its turn
        for other in names:
            content = bench.inside.files[other]
            bench.outside.hold(other, flipped(content, bit) if other == name else content)
        bench.receive()
        assert bench.target.standing is None, (name, bit)
        tried += 1
        assert bench.receiver.status().counts["quarantined"] == tried
    assert tried >= places
    print(f"{form}: {tried} flipped bits, none applied")
    assert len(bench.receiver.status().quarantined) <= 10
    bench.carry(*names)
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []
