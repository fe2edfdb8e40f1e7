"""Storage servers for tests: nginx where it is installed, and small ones that misbehave byte by byte."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CONF = """daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; types {{ image/jpeg jpg; }}
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server {{ listen 127.0.0.1:{port}; root {root};
{inside}
    }}
}}
"""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def nginx(folder: Path, inside: str = "") -> Iterator[int]:
    """Serve folder/root by nginx; yields the port. Skips the test where nginx is missing."""
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if command is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (folder / "nginx.conf").write_text(CONF.format(port=port, root=root, inside=inside, user=_user()))
    arguments = [command, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _user() -> str:
    return "user root;" if os.geteuid() == 0 else ""  # a worker of another user could not read the test's folder


def wait_for_port(port: int) -> None:
    """Return once somebody listens."""
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            threading.Event().wait(0.01)
        else:
            return
    raise AssertionError(f"nobody listens on port {port}")


Script = Callable[[socket.socket, bytes], None]
"""Answers one request: gets the connection and the request's head."""


@contextlib.contextmanager
def scripted(answer: Script, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[int]:
    """Run a server that answers each request on each connection by a script; yields the port."""
    listener = socket.create_server((host, 0), backlog=256)
    stop = threading.Event()

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError), connection:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            connection.settimeout(20)
            while not stop.is_set():
                head = b""
                while b"\r\n\r\n" not in head:
                    more = connection.recv(65536)
                    if not more:
                        return
                    head += more
                answer(connection, head)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def response(body: bytes = b"", status: str = "200 OK", *heads: str, length: int | None = None) -> bytes:
    """Write a whole HTTP response; `length` is what it claims."""
    claimed = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {claimed}", *heads]
    return "\r\n".join([*lines, "", ""]).encode() + body


def path_of(head: bytes) -> str:
    """Return the path of a request."""
    return head.split(b" ", 2)[1].decode()


def head_of(head: bytes, name: str) -> str:
    """Return a header of a request; empty where it is missing."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return ""
