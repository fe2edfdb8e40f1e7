"""Stands for the command line in tests of what runs it: its first word says what to do."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path


def main(words: list[str]) -> int:
    site, act, *rest = words
    if act == "tell":
        print(json.dumps({"site": site, "words": rest, "here": sorted(map(str, Path().rglob("*")))}))
        print(json.dumps({"user": os.environ.get("LOGNAME")}))
        return 0
    if act == "go":
        for done in range(3):
            line = {"stage": "going", "done": done + 1, "total": 3, "unit": "steps"}
            print(json.dumps(line), file=sys.stderr, flush=True)
        Path("result.txt").write_text("the result")
        Path("more").mkdir()
        Path("more/a.txt").write_text("a")
        Path("link.txt").symlink_to("/etc/hostname")
        print("went", flush=True)
        return 0
    if act == "whisper":
        token = secrets.token_hex(16)
        print(token, flush=True)
        Path("key.txt").write_text(token)
        print("carry it there", file=sys.stderr)
        return 0
    if act == "fail":
        print("isthmus: nothing is there; make it first", file=sys.stderr)
        return int(rest[0].partition("=")[2]) if rest else 1
    if act == "much":
        for number in range(20_000):
            print(f"line {number} " + "x" * 80)
        return 0
    if act == "stay":
        try:
            print("staying", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            print("isthmus: interrupted; the same command goes on from here", file=sys.stderr)
            return 130
    if act == "stubborn":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("staying", flush=True)
        time.sleep(600)
    if act == "leave":  # something goes on behind it, and holds its streams
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("left", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
