"""The supervisor as a real process with real children, which are killed, end, hang, and have children."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gallery_sites import environment, until
from isthmus.app.product.record import read_record

SCRIPT = Path(__file__).parents[2] / "up_process.py"
QUICK = "first_wait_s = 0.05\nlongest_wait_s = 0.2\n"
SERVES = "import time; print('serving http://127.0.0.1:1234 key x'); time.sleep(600)"
HANGS = "import signal, time; signal.signal(15, signal.SIG_IGN); print('serving'); time.sleep(600)"
GRANDCHILD = (
    "import subprocess, sys, time;"
    " child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    " print('child', child.pid); print('serving'); time.sleep(600)"
)


class Up:
    """A supervisor at work, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str], state: Path) -> None:
        self.process, self.state, self.lines = process, state, [""]
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def count(self, begin: str) -> int:
        return sum(line.startswith(begin) for line in self.lines)

    def wait(self, begin: str, count: int = 1) -> str:
        until(lambda: self.count(begin) >= count, f"{begin} in {self.lines}")
        return [line for line in self.lines if line.startswith(begin)][count - 1]

    def pid(self, name: str, count: int = 1) -> int:
        return int(self.wait(f"RUNNING {name}", count).split()[2])

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@contextlib.contextmanager
def up(folder: Path, *parts: str, more: str = "", **extra: str) -> Iterator[Up]:
    toml = folder / "isthmus.toml"
    toml.write_text(f'[site]\nname = "s"\n[up]\n{QUICK}{more}\n')
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(toml), *parts],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment(), **extra},
    )
    made = Up(process, folder / "state")
    try:
        yield made
    finally:
        process.kill()
        process.wait()
        made.thread.join()
        assert process.stdout is not None
        process.stdout.close()


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_a_part_that_is_killed_comes_back_and_the_others_do_not_notice(tmp_path: Path) -> None:
    with up(tmp_path, f"recovery!={SERVES}", f"acquire!={SERVES}") as site:
        first, other = site.pid("recovery"), site.pid("acquire")
        assert site.wait("RUNNING recovery").endswith("http://127.0.0.1:1234")
        os.kill(first, signal.SIGKILL)
        second = site.pid("recovery", 2)
        assert second != first
        assert not alive(first)
        assert alive(other)
        record = read_record(site.state)
        assert record is not None
        assert record.alive
        assert (record.part("recovery").restarts, record.part("acquire").restarts) == (1, 0)  # type: ignore[union-attr]
        assert site.end() == 0
        assert not alive(second) | alive(other)
        assert site.count("RUNNING acquire") == 1


def test_a_signal_ends_all_parts_the_console_last_with_exit_code_0(tmp_path: Path) -> None:
    with up(tmp_path, f"console!={SERVES}", f"recovery!={SERVES}", f"gate-send={SERVES}") as site:
        pids = [site.pid(name) for name in ("console", "recovery", "gate-send")]
        assert site.end(signal.SIGINT) == 0
        assert not any(map(alive, pids))
        site.thread.join()
        ends = [line.split()[:2] for line in site.lines if line.startswith(("STOPPING", "STOPPED"))]
        assert ends[-2:] == [["STOPPING", "console"], ["STOPPED", "console"]]
        record = read_record(site.state)
        assert record is not None
        assert (record.ended, record.alive, record.lost) == (True, False, False)


def test_a_supervisor_that_is_killed_takes_its_children_with_it(tmp_path: Path) -> None:
    with up(tmp_path, f"recovery!={SERVES}", f"acquire!={SERVES}") as site:
        pids = [site.pid("recovery"), site.pid("acquire")]
        site.process.kill()
        until(lambda: not any(map(alive, pids)), "the children are gone")
        record = read_record(site.state)
        assert record is not None
        assert record.lost


def test_what_a_part_started_ends_with_it(tmp_path: Path) -> None:
    with up(tmp_path, f"acquire!={GRANDCHILD}") as site:
        grandchild = int(site.wait("SAID acquire child").split()[-1])
        os.kill(site.pid("acquire"), signal.SIGKILL)
        site.wait("RUNNING acquire", 2)
        assert not alive(grandchild)
        second = int(site.wait("SAID acquire child", 2).split()[-1])
        assert site.end() == 0
        assert not alive(second)


def test_a_part_that_does_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    with up(tmp_path, f"sync!={HANGS}", f"acquire!={SERVES}", more="[up.part.sync]\ngrace_s = 0.1") as site:
        pid = site.pid("sync")
        site.pid("acquire")
        assert site.end() == 0
        assert not alive(pid)


def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    with up(tmp_path, f"sync!={HANGS}", more="grace_s = 600") as site:
        pid = site.pid("sync")
        site.process.send_signal(signal.SIGTERM)
        site.wait("STOPPING sync")
        until(lambda: site.process.send_signal(signal.SIGTERM) or site.process.poll() is not None, "it ends")
        assert site.process.returncode == 0
        assert not alive(pid)


def test_wrong_input_is_not_tried_again_and_crashes_are_given_up_while_others_go_on(tmp_path: Path) -> None:
    wrong = "import sys; print('isthmus: no such thing'); sys.exit(2)"
    with up(
        tmp_path, f"acquire={wrong}", "agent=raise SystemExit(1)", f"recovery!={SERVES}", more="tries = 3"
    ) as site:
        site.wait("FAILED acquire")
        site.wait("FAILED agent")
        assert (site.count("STARTING acquire"), site.count("STARTING agent")) == (1, 3)
        record = read_record(site.state)
        assert record is not None
        told = record.part("acquire")
        assert told is not None
        assert (told.why, told.said) == ("its input is wrong (exit code 2)", "isthmus: no such thing")
        assert alive(site.pid("recovery"))
        assert site.end() == 0


@pytest.mark.parametrize(("code", "expected"), [(2, 2), (1, 1)])
def test_a_site_whose_parts_were_all_given_up_ends(tmp_path: Path, code: int, expected: int) -> None:
    with up(tmp_path, f"acquire=raise SystemExit({code})", more="tries = 2") as site:
        assert site.process.wait(60) == expected


def test_a_part_that_does_its_work_and_ends_is_started_again_by_time(tmp_path: Path) -> None:
    with up(tmp_path, "device~=print('done')") as site:
        site.wait("RESTING device", 3)
        assert site.end() == 0


def test_one_supervisor_runs_a_site(tmp_path: Path) -> None:
    with up(tmp_path, f"acquire!={SERVES}") as site:
        site.pid("acquire")
        again = subprocess.run(
            [sys.executable, str(SCRIPT), str(tmp_path / "isthmus.toml"), f"acquire!={SERVES}"],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert "is already under way by process" in again.stderr
        assert site.end() == 0


def test_systemd_is_told_when_all_is_ready_that_it_lives_and_that_it_ends(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(address)
        told.settimeout(60)
        extra = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"}
        with up(tmp_path, f"acquire!={SERVES}", **extra) as site:
            heard = [told.recv(1000).decode()]
            while "READY=1" not in heard or heard.count("WATCHDOG=1") < 2:
                heard.append(told.recv(1000).decode())
            assert "STATUS=1 of 1 run" in heard[: heard.index("READY=1")]
            assert site.end() == 0
            while "STOPPING=1" not in heard:
                heard.append(told.recv(1000).decode())


def test_lines_come_whole_however_they_were_written(tmp_path: Path) -> None:
    code = (
        "import os, time; os.write(1, b'half'); time.sleep(0.05); os.write(1, b' a line\\nnext \\xff\\n');"
        " os.write(1, b'x' * 200000 + b'\\nserving\\nlast words')"
    )
    with up(tmp_path, f"acquire!={code}") as site:
        site.wait("SAID acquire last words")
        assert "SAID acquire half a line" in site.lines
        assert "SAID acquire next �" in site.lines
        whole = "".join(line.removeprefix("SAID acquire ") for line in site.lines if "xxxx" in line)
        assert whole.startswith("x" * 200_000)


def test_the_record_is_for_its_owner_alone_and_survives_nonsense(tmp_path: Path) -> None:
    with up(tmp_path, f"acquire!={SERVES}") as site:
        site.pid("acquire")
        file = site.state / "up.json"
        assert file.stat().st_mode & 0o077 == 0
        assert json.loads(file.read_text())["parts"][0]["name"] == "acquire"
        assert site.end() == 0
    for nonsense in ("", "{}", '{"parts": 3}', "[1]"):
        file.write_text(nonsense)
        assert read_record(site.state) is None
