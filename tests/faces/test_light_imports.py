"""What a device, a sender or an agent carries stays small: their commands import none of the heavy parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from acquire_sites import Hub, running
from gallery_making import jpeg
from gallery_sites import DEVICE, INNER, environment, write

LOOP = {"lance", "torch", "duckdb", "pyarrow", "sqlglot", "apscheduler", "highway_env", "matplotlib", "rosbags"}
SERVER = {"starlette", "uvicorn"}
FACES = {"onnxruntime", "dlib"}
PICTURES = {"PIL", "simplejpeg", "reverse_geocode"}
ICE = {"aiortc", "webrtc", "websockets"}

_TELL = """
import json, sys
from isthmus.faces.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


_AT_WORK = """
import json, os, signal, sys, threading, time
from isthmus.acquire.client import Client
from isthmus.faces.cli.main import run
def watch():
    client = Client("{url}", "{key}")
    while client.batch("{batch}")["counts"] != {{"done": 1}}:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
assert run(sys.argv[1:]) == 0
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
_SERVING = """
import json, os, signal, sys, threading, time, urllib.request
from isthmus.faces.cli.main import run
def watch():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
    while True:
        try:
            opener.open("http://127.0.0.1:{port}/health", timeout=10).close()
            break
        except OSError:
            time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
if __name__ == "__main__":
    threading.Thread(target=watch, daemon=True).start()
    assert run(sys.argv[1:]) == 0
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["device", "list"], LOOP | SERVER | FACES | ICE),
        (["device", "--help"], LOOP | SERVER | FACES | ICE | {"numpy", "cryptography"}),
        (["check"], LOOP | SERVER | FACES | ICE),
        (["keys", "device"], LOOP | SERVER | FACES | ICE),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_device_imports_only_what_it_uses(tmp_path: Path, words: list[str], without: set[str]) -> None:
    site = write(tmp_path / "device", DEVICE.format(name="b12", extractor="faces"))
    assert not imported(site, *words) & without


def test_an_inner_site_imports_neither_server_nor_loop_nor_faces(tmp_path: Path) -> None:
    site = write(tmp_path / "inner", INNER)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(1))
    assert not imported(site, "gallery", "add", "staff", "anna", str(photo)) & (LOOP | SERVER | FACES | ICE)


@pytest.mark.parametrize(
    "words", [["check"], ["keys", "agent"], ["keys", "agent.allow"], ["agent", "--help"], ["acquire", "--help"]],
    ids=lambda words: " ".join(words),
)  # fmt: skip
def test_an_agents_commands_import_nothing_of_servers_pictures_or_the_loop(
    tmp_path: Path, words: list[str]
) -> None:
    agent = Hub(tmp_path / "hub").environment("video")
    assert not imported(agent.folder, *words) & (LOOP | SERVER | FACES | ICE | PICTURES | {"numpy"})


def test_an_agent_at_work_imports_nothing_of_servers_pictures_or_the_loop(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")
    agent = hub.environment("video", "[[agent.allow]]\nschemes = ['file']\nroots = ['.']\n")
    (agent.folder / "one.jpg").write_bytes(jpeg(1))
    wish = {"address": f"file://{agent.folder}/one.jpg", "environment": "video", "record": "one"}
    with running(hub):
        batch = hub.ask([wish])
        code = _AT_WORK.format(batch=batch, url=hub.url, key=hub.key("client"))
        words = ["--site", str(agent.folder), "agent", "--environment", "video"]
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment(), check=True
        )
        assert hub.ended(batch) == {"done": 1}
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert "pycurl" in modules
    assert not modules & (LOOP | SERVER | FACES | ICE | PICTURES | {"numpy"})


def test_an_interface_server_at_work_imports_neither_the_loop_nor_what_agents_fetch_with(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")
    code = _SERVING.format(port=hub.port)
    done = subprocess.run(
        [sys.executable, "-c", code, "--site", str(hub.folder), "serve", "acquire"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert "starlette" in modules
    assert not modules & (LOOP | FACES | {"aiortc", "webrtc", "wrtc", "pycurl", "pymongo"})


def imported(site: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _TELL, "--site", str(site), *words],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)
