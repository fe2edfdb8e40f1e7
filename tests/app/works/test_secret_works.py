"""What a secret operation tells: shown to who began it, for a while, and never written down."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.app.people.person import Person, Role
from isthmus.app.works.runner import Runner
from isthmus.app.works.seeing import seen
from isthmus.core.errors import UnknownName
from isthmus.faces.cli.catalogue import recipes
from works_making import ADA, OLA, QUICK, VIC, done, running, until


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with running(tmp_path) as runner:
        yield runner


def kept_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_who_began_it_reads_it_and_nobody_else_whatever_their_role(runner: Runner) -> None:
    work = done(runner, "whisper", OLA)
    token = runner.secretly(work.id, "stdout.txt").decode().strip()  # type: ignore[union-attr]
    assert work.said.splitlines() == [token, "carry it there"]
    known = runner.operations()
    assert seen(runner.get(work.id), known, OLA).said == work.said
    same_name = Person("ola", Role.OPERATOR, "key")
    for other in (VIC, ADA, Person("bob", Role.OPERATOR, "session"), same_name):
        there = seen(runner.get(work.id), known, other)
        assert (there.said, there.files, there.error) == ("", (), "")
        assert token not in repr(there)
    assert token not in repr([seen(one, known, ADA) for one in runner.latest()])


def test_it_is_in_no_file_and_in_nothing_that_watchers_are_told(runner: Runner, tmp_path: Path) -> None:
    work = done(runner, "whisper")
    token = work.said.splitlines()[0]
    assert (tmp_path / "state/works" / work.id / "files/key.txt").read_text() == token
    (tmp_path / "state/works" / work.id / "files/key.txt").unlink()
    assert token.encode() not in kept_of(tmp_path)
    told: list[object] = []
    runner.watch(told.append, f"{runner.happenings.start}-0")[0]()
    assert len(told) >= 3
    assert token not in repr(told)


def test_after_a_while_it_is_forgotten_and_what_was_written_is_gone(tmp_path: Path) -> None:
    with running(tmp_path, replace(QUICK, secret_s=0.2)) as runner:
        gone = threading.Event()
        forgotten, runner._unwritten._forgotten = (
            runner._unwritten._forgotten,
            lambda id: (forgotten(id), gone.set()),
        )
        work = done(runner, "whisper")
        assert gone.wait(60)
        after = runner.get(work.id)
        assert (after.state, after.said, after.files) == ("done", "", ())
        assert runner.secretly(work.id, "stdout.txt") is None
        for name in ("stdout.txt", "stderr.txt", "key.txt"):
            with pytest.raises(UnknownName):
                runner.file(work.id, name)
        assert not (tmp_path / "state/works" / work.id).exists()


def test_the_end_of_the_server_leaves_nothing_of_it(tmp_path: Path) -> None:
    with running(tmp_path) as runner:
        work = done(runner, "whisper")
        token = work.said.splitlines()[0]
    assert token.encode() not in kept_of(tmp_path)
    with running(tmp_path) as runner:
        assert (runner.get(work.id).said, runner.get(work.id).files) == ("", ())


_SERVER = """
import sys
from pathlib import Path
from works_making import done, running
with running(Path(sys.argv[1])) as runner:
    print(done(runner, "whisper").said.splitlines()[0], flush=True)
    sys.stdin.read()
"""


def test_a_killed_server_leaves_no_word_and_the_next_start_removes_the_files(tmp_path: Path) -> None:
    line = [sys.executable, "-c", _SERVER, str(tmp_path)]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as server:
        assert server.stdout is not None
        token = server.stdout.readline().strip()
        server.send_signal(signal.SIGKILL)
        server.wait()
    written = [file for file in tmp_path.rglob("*") if file.is_file() and token.encode() in file.read_bytes()]
    assert [file.name for file in written] == ["key.txt"]
    with running(tmp_path):
        assert token.encode() not in kept_of(tmp_path)


def test_nothing_of_it_is_told_while_it_runs(runner: Runner) -> None:
    work = runner.start("whisper", {}, OLA)
    ended = until(runner, work.id, lambda one: one.what == "ended")
    assert (ended.said, ended.work.said) == ("", "")


def test_every_command_that_prints_a_token_or_a_new_key_is_a_secret_one() -> None:
    known = {name for name, one in recipes().items() if one.operation.secret}
    assert known == {"device invite", "acquire keys add", "acquire environment add"}
