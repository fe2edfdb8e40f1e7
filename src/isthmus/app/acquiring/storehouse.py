"""A storage server for the demonstration, as a process of its own: nginx where it is installed, else Python's."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from isthmus.app import stage
from isthmus.core.errors import RunFailed

_LOOK_S, _LOOKS, _TRIES = 0.02, 500, 5
_CONF = """daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on;
    types {{ image/jpeg jpg; image/png png; }}
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server {{ listen 127.0.0.1:{port}; root files; }}
}}
"""


class Storehouse:
    """Serves `folder`/files at a free port of loopback, which stays the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, folder / "files"
        self.files.mkdir(parents=True)
        self.port = 0
        self._nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        self._process: subprocess.Popen[str] | None = None

    @property
    def kind(self) -> str:
        """What serves."""
        return "nginx" if self._nginx else "Python's HTTP server"

    def start(self) -> None:
        """Start, and wait until connections are taken. Raises RunFailed."""
        for _ in range(1 if self.port else _TRIES):
            port = self.port or free_port()
            self._process = self._started(port)
            if self._answers(port):
                self.port = port
                return
            self.stop()
        raise RunFailed(f"{self.kind} does not serve {self.files}", f"see the logs in {self.folder}")

    def stop(self) -> None:
        """End it; harmless where it does not run."""
        if self._process is not None:
            stage.end(self._process)
            self._process = None

    def _started(self, port: int) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", str(self.files), str(port)]
        if self._nginx:
            user = "user root;" if os.geteuid() == 0 else ""
            (self.folder / "nginx.conf").write_text(_CONF.format(port=port, user=user))
            words = [self._nginx, "-p", str(self.folder), "-c", "nginx.conf", "-e", "error.log"]
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True
            )

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        for _ in range(_LOOKS):
            if self._process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                time.sleep(_LOOK_S)
            else:
                return True
        return False


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
