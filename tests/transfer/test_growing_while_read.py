"""Files that grow, shrink, change or go while they are being read: only what was copied whole is ever applied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate_bench import LIMITS, SENDER, Bench, receiving, sending
from isthmus.transfer.gate import Gate
from isthmus.transfer.inbound import Inbound
from rough_gate import flipped


class RestlessGate(Gate):
    """A gate's folder in which something happens just before and just after each copy is made."""

    before: Callable[[Path], None] = staticmethod(lambda file: None)
    after: Callable[[Path], None] = staticmethod(lambda file: None)

    def take(self, name: str, into: Path) -> int:
        self.before(self.folder / name)
        try:
            return super().take(name, into)
        finally:
            self.after(self.folder / name)


class Site:
    """A receiver of what a bench sends, with a restless gate before it."""

    def __init__(self, folder: Path, form: str, settle_s: float) -> None:
        self.bench = Bench(folder, sending(format=form))
        (folder / "outside").mkdir()
        self.gate = RestlessGate(folder / "outside")
        self.receiver = Inbound(
            self.bench.stores[1], folder / "restless", self.bench.target, self.gate,
            {"faces": frozenset((SENDER.public,))}, LIMITS, self.bench.clock, receiving(settle_s=settle_s),
        )  # fmt: skip
        self.names = self.bench.send(*((f"k{number}", "x" * 99) for number in range(30)))

    def round(self) -> None:
        """Receive; nothing that was not whole may have been applied or condemned for good."""
        self.bench.clock.forward(5)
        self.receiver.step()
        assert self.bench.true_past()

    def write(self) -> None:
        for name in self.names:
            (self.gate.folder / name).write_bytes(self.bench.inside.files[name])

    def well_in_peace(self) -> bool:
        """Let the gatekeeper copy once more, in peace, and tell whether everything is well then."""
        self.gate.before = self.gate.after = lambda file: None
        self.write()
        for _ in range(4):
            self.round()
        status = self.receiver.status()
        return self.bench.level() and status.alarms == () and status.growing == ()


@pytest.mark.parametrize("settle_s", [0.0, 30.0])
@pytest.mark.parametrize("form", ["tar", "plain"])
def test_a_file_that_grows_while_it_is_read_is_taken_when_it_has_grown_up(
    tmp_path: Path, form: str, settle_s: float
) -> None:
    site = Site(tmp_path, form, settle_s)
    rest = {}
    for name in site.names:
        content = site.bench.inside.files[name]
        (site.gate.folder / name).write_bytes(content[:300])
        rest[name] = [content[at : at + 300] for at in range(300, len(content), 300)]

    def grow(file: Path) -> None:
        if rest[file.name]:
            with file.open("ab") as growing:
                growing.write(rest[file.name].pop(0))

    site.gate.after = grow
    rounds = 0
    while any(rest.values()):
        site.round()
        assert site.bench.target.standing is None
        assert site.receiver.status().quarantined == (), "it changes: it is not condemned"
        rounds += 1
        assert rounds < 100
    for _ in range(4):
        site.round()
    assert site.bench.level()
    assert site.receiver.status().alarms == ()
    assert rounds > 3


def _gone(file: Path) -> None:
    file.unlink(missing_ok=True)


def _emptied(file: Path) -> None:
    if file.exists():
        file.write_bytes(b"")


def _halved(file: Path) -> None:
    if file.exists():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _spoiled(file: Path) -> None:
    if file.exists():
        file.write_bytes(flipped(file.read_bytes(), 8 * 700 + 1))


def _a_folder(file: Path) -> None:
    if file.is_file():
        file.unlink()
        file.mkdir()


def _a_link(file: Path) -> None:
    if file.is_file() and not file.is_symlink():
        aside = file.with_name(f".{file.name}")
        file.rename(aside)
        file.symlink_to(aside)


@pytest.mark.parametrize("form", ["tar", "plain"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("happens", [_gone, _emptied, _halved, _spoiled, _a_folder, _a_link])
def test_a_file_that_changes_between_look_and_copy_is_applied_whole_or_not_at_all(
    tmp_path: Path, happens: Callable[[Path], None], when: str, form: str
) -> None:
    site = Site(tmp_path, form, 30.0)
    site.write()
    setattr(site.gate, when, happens)
    site.round()
    site.round()
    for file in site.gate.folder.iterdir():
        if file.is_symlink():
            file.unlink()
        elif file.is_dir():
            file.rmdir()
    assert site.well_in_peace()


@given(form=st.sampled_from(["tar", "plain"]), cuts=st.lists(st.integers(0, 6000), max_size=8))
def test_whatever_sizes_a_file_is_seen_with_it_is_applied_only_whole(
    tmp_path_factory: pytest.TempPathFactory, form: str, cuts: list[int]
) -> None:
    site = Site(tmp_path_factory.mktemp("gate"), form, 30.0)
    sizes = iter(cuts)

    def become(file: Path) -> None:
        size = next(sizes, None)
        if size is not None:
            file.write_bytes(site.bench.inside.files[file.name][:size])

    site.gate.before = site.gate.after = become
    site.write()
    for _ in cuts:
        site.round()
    assert site.well_in_peace()
