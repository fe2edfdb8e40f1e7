"""Operations as processes: what they print and write, how they end, and what becomes of them with the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import works_process
from isthmus.app.works.child import started
from isthmus.app.works.runner import Runner, WorksSettings
from isthmus.app.works.waiting import wait_for
from isthmus.app.works.work import ENDED
from isthmus.core.errors import Busy, Refused, UnknownName, WrongArguments
from isthmus.core.progress import Progress
from works_making import ADA, LONG_S, OLA, QUICK, VIC, done, runner_in, running, until


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with running(tmp_path) as runner:
        yield runner


def test_a_work_tells_its_progress_what_it_said_and_which_files_it_wrote(runner: Runner) -> None:
    work = done(runner, "go")
    assert (work.state, work.exit_code, work.error, work.by) == ("done", 0, "", "ada")
    assert work.said == "went"
    assert work.progress == Progress("going", 3, 3, "steps")
    assert work.files == ("more/a.txt", "result.txt")  # a link is none of its files
    assert runner.file(work.id, "more/a.txt").read_text() == "a"
    assert runner.file(work.id, "stdout.txt").read_text() == "went\n"
    assert work.ended is not None
    assert work.ended >= work.begun


def test_what_happens_is_told_in_its_order(runner: Runner) -> None:
    told = []
    ended = threading.Event()

    def take(one: object) -> None:
        told.append(one)
        if one.what == "ended":  # type: ignore[attr-defined]
            ended.set()

    leave, _ = runner.watch(take)
    runner.start("go", {}, ADA)
    assert ended.wait(LONG_S)
    leave()
    whats = [one.what for one in told]
    assert whats[:2] == ["state", "state"]
    assert [one.work.state for one in told][:2] == ["waiting", "running"]
    assert set(whats[2:-1]) == {"progress", "said"}
    assert whats[-1] == "ended"
    assert told[-1].work.state == "done"
    numbers = [int(one.id.partition("-")[2]) for one in told]
    assert numbers == sorted(set(numbers))


def test_the_command_is_given_its_arguments_the_site_and_who_asks(runner: Runner, tmp_path: Path) -> None:
    files = {"a.jpg": b"one", "d/b.jpg": b"two"}
    work = done(runner, "tell", ADA, files, name="--help", photo="a.jpg", folder=["d/b.jpg"], set=["x=1"])
    first, second = map(json.loads, runner.file(work.id, "stdout.txt").read_text().splitlines())
    assert first["site"] == f"--site={(tmp_path / 'isthmus.toml').resolve()}"
    assert first["words"] == [
        "--always", "--set=x=1", "--photo=../in/photo/a.jpg", "--folder=../in/folder", "--picture=scene.png",
        "--", "--help",
    ]  # fmt: skip
    assert first["here"] == []
    assert second == {"user": "ada"}
    assert work.arguments == {"name": "--help", "photo": "a.jpg", "folder": ["d/b.jpg"], "set": ["x=1"]}


def test_what_was_brought_along_is_gone_when_the_work_has_ended(runner: Runner, tmp_path: Path) -> None:
    work = done(runner, "tell", ADA, {"a.jpg": b"a secret"}, name="a", photo="a.jpg")
    left = [path for path in (tmp_path / "state/works" / work.id).rglob("*") if path.is_file()]
    assert {path.name for path in left} == {"stdout.txt", "stderr.txt"}


def test_only_the_owner_may_read_what_works_leave(runner: Runner, tmp_path: Path) -> None:
    work = done(runner, "go")
    for folder in ("state", "state/works", f"state/works/{work.id}"):
        assert (tmp_path / folder).stat().st_mode & 0o077 == 0, folder


@pytest.mark.parametrize(("code", "state"), [(1, "failed"), (2, "failed"), (3, "done"), (6, "failed")])
def test_an_exit_code_says_how_it_ended(runner: Runner, code: int, state: str) -> None:
    work = done(runner, "fail", code=code)
    assert (work.state, work.exit_code) == (state, code)
    assert work.error == ("" if state == "done" else "nothing is there; make it first")


def test_a_command_that_a_signal_ends_has_failed(runner: Runner) -> None:
    work = runner.start("stay", {}, ADA)
    until(runner, work.id, lambda one: "staying" in one.said)
    os.kill(_process(runner, work.id), signal.SIGKILL)
    work = wait_for(runner, work.id, LONG_S)
    assert (work.state, work.exit_code, work.error) == ("failed", -9, "ended by signal 9")


def _process(runner: Runner, id: str) -> int:
    child = runner._live[id].child
    assert child is not None
    return child.number


def test_a_cancelled_command_is_interrupted_as_by_ctrl_c(runner: Runner) -> None:
    work = runner.start("stay", {}, ADA)
    until(runner, work.id, lambda one: "staying" in one.said)
    runner.cancel(work.id, ADA)
    work = wait_for(runner, work.id, LONG_S)
    assert (work.state, work.exit_code) == ("cancelled", 130)
    assert work.error == "interrupted; the same command goes on from here"


def test_a_command_that_hears_no_signal_is_killed_after_the_grace(runner: Runner) -> None:
    work = runner.start("stubborn", {}, ADA)
    until(runner, work.id, lambda one: "staying" in one.said)
    process = _process(runner, work.id)
    runner.cancel(work.id, ADA)
    work = wait_for(runner, work.id, LONG_S)
    assert (work.state, work.exit_code) == ("cancelled", -9)
    assert not started(process)


def test_what_a_command_left_behind_ends_with_it(runner: Runner) -> None:
    work = done(runner, "leave")
    assert (work.state, work.said) == ("done", "left")
    assert not _alive_in_group(work.id)


def _alive_in_group(id: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if id in str(path.readlink()):
                return started(int(path.parent.name)) != ""
        except OSError:
            continue
    return False


def test_only_a_few_run_at_a_time_and_the_others_wait_in_line(tmp_path: Path) -> None:
    with running(tmp_path, replace(QUICK, at_once=1, waiting=2)) as runner:
        first = runner.start("stay", {}, ADA)
        until(runner, first.id, lambda one: "staying" in one.said)
        second, third = (runner.start("go", {}, ADA) for _ in range(2))
        assert (second.state, third.state) == ("waiting", "waiting")
        with pytest.raises(Busy, match="3 operations run or wait already"):
            runner.start("go", {}, ADA)
        assert runner.cancel(third.id, ADA).state == "cancelled"
        runner.cancel(first.id, ADA)
        assert wait_for(runner, second.id, LONG_S).state == "done"
        assert [one.id for one in runner.latest()] == [third.id, second.id, first.id]
        assert runner.counts() == {"cancelled": 2, "done": 1}


def test_much_that_is_printed_is_kept_within_bounds(tmp_path: Path) -> None:
    with running(tmp_path, replace(QUICK, printed_bytes=1000)) as runner:
        work = done(runner, "much")
        assert runner.file(work.id, "stdout.txt").stat().st_size == 1000
        assert work.said.splitlines()[-1].startswith("line 19999 ")
        assert len(work.said.splitlines()) == 60


def test_roles_are_asked_for(runner: Runner) -> None:
    with pytest.raises(Refused, match="go needs the role operator"):
        runner.start("go", {}, VIC)
    with pytest.raises(Refused, match="secret go needs the role admin"):
        runner.start("secret go", {}, OLA)
    work = runner.start("stay", {}, ADA)
    with pytest.raises(Refused):
        runner.cancel(work.id, VIC)
    assert runner.cancel(work.id, OLA).id == work.id


def test_what_is_wrong_is_told_and_nothing_is_begun(runner: Runner) -> None:
    with pytest.raises(UnknownName, match="did you mean 'stay'"):
        runner.start("stai", {}, ADA)
    with pytest.raises(WrongArguments):
        runner.start("tell", {}, ADA)
    with pytest.raises(UnknownName):
        runner.get("0" * 16)
    with pytest.raises(UnknownName):
        runner.cancel("0" * 16, ADA)
    assert runner.latest() == []


def test_no_file_but_what_the_work_wrote_is_given_out(runner: Runner) -> None:
    work = done(runner, "go")
    for name in ("../stdout.txt", "../../isthmus.toml", "/etc/hostname", "link.txt", "more", "", "."):
        with pytest.raises(UnknownName):
            runner.file(work.id, name)


def test_a_command_that_cannot_be_run_has_failed(tmp_path: Path) -> None:
    runner = runner_in(tmp_path)
    runner._program = ("/no/such/program",)
    runner.open()
    work = done(runner, "go")
    runner.close()
    assert work.state == "failed"
    assert work.error.startswith("it cannot be run: No such file")


def test_works_that_the_server_ends_with_are_lost_and_their_commands_interrupted(tmp_path: Path) -> None:
    runner = runner_in(tmp_path, replace(QUICK, at_once=1))
    runner.open()
    running_, waiting = runner.start("stay", {}, ADA), runner.start("go", {}, ADA)
    until(runner, running_.id, lambda one: "staying" in one.said)
    process = _process(runner, running_.id)
    runner.close()
    assert not started(process)
    with running(tmp_path) as after:
        assert {one.state for one in after.latest()} == {"lost"}
        assert "the server was stopped" in after.get(waiting.id).error
        assert after.get(running_.id).exit_code == 130


def test_a_server_that_is_killed_loses_its_works_and_the_next_one_ends_their_commands(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, works_process.__file__, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(works_process.__file__).parent)},
    )
    assert server.stdout is not None
    id = server.stdout.readline().strip()
    server.kill()
    server.wait()
    server.stdout.close()
    runner = runner_in(tmp_path)
    row = runner._ledger._store().rows("SELECT process, process_start FROM work WHERE id = ?", (id,))[0]
    runner.open()
    try:
        works = {one.id: one for one in runner.latest()}
        assert len(works) == 2
        assert works[id].state == "lost"
        assert "the server died" in works[id].error
        assert all(one.state in ENDED for one in works.values())
        for thread in list(threading.enumerate()):
            if thread.name.startswith("ends "):
                thread.join(LONG_S)
        assert started(row["process"]) != row["process_start"]
        assert done(runner, "go").state == "done"
    finally:
        runner.close()


def test_two_servers_cannot_run_the_works_of_one_site(runner: Runner, tmp_path: Path) -> None:
    other = runner_in(tmp_path)
    with pytest.raises(Busy, match="running this site's operations is already under way"):
        other.open()


def test_old_works_are_forgotten_with_their_files(tmp_path: Path) -> None:
    with running(tmp_path, replace(QUICK, keep=2)) as runner:
        works = [done(runner, "go") for _ in range(4)]
    with running(tmp_path, replace(QUICK, keep=2)) as runner:
        assert [one.id for one in runner.latest()] == [works[3].id, works[2].id]
        assert {path.name for path in (tmp_path / "state/works").iterdir()} == {works[3].id, works[2].id}


def test_files_that_together_are_too_large_go_oldest_first(tmp_path: Path) -> None:
    with running(tmp_path) as runner:
        first, second = done(runner, "much"), done(runner, "go")
    with running(tmp_path, replace(QUICK, keep_bytes=10_000)) as runner:
        assert runner.get(second.id).files == second.files
        assert runner.get(first.id).state == "done"
        with pytest.raises(UnknownName):
            runner.file(first.id, "stdout.txt")


def test_works_are_listed_newest_first_and_page_by_page(runner: Runner) -> None:
    ids = [done(runner, "go").id for _ in range(3)]
    assert ids == sorted(ids)
    assert [one.id for one in runner.latest(2)] == ids[:0:-1]
    assert [one.id for one in runner.latest(2, before=ids[1])] == [ids[0]]


def test_settings_are_for_one_machine() -> None:
    settings = WorksSettings()
    assert settings.at_once >= 1
    assert timedelta(days=settings.keep_days) >= timedelta(days=7)
