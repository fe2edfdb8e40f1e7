"""Commands that serve: the sync server of devices, acquiring's interface server, recovery's rounds."""

from __future__ import annotations

import socket
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.root import Commands, isthmus
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.stopping import heeding_signals

if TYPE_CHECKING:
    from pathlib import Path

    import uvicorn

    from isthmus.app.recovery.serving import Turns


@isthmus.group(cls=Commands)
def serve() -> None:
    """Run a server of this site until it is interrupted."""


@serve.command("sync")
@click.pass_context
def serve_sync(ctx: click.Context) -> None:
    """Follow the gate and serve devices over ICE.

    Listens where [sync] says. GET /health, /v1/status and /metrics tell how it is.
    """
    with heeding_signals() as stop:
        _serve_sync(ctx.obj, stop)
    say("stopped")


def _serve_sync(path: Path, stop: threading.Event) -> None:
    from isthmus.app.galleries.config import read_gallery_config
    from isthmus.app.galleries.serving import SyncService
    from isthmus.faces.http.server import SyncHttpServer

    config = read_gallery_config(path)
    part = config.need("sync")
    service = SyncService(config, log)
    service.check()
    scheme = "https" if part.tls_certificate else "http"
    host = f"[{part.host}]" if ":" in part.host else part.host

    def begun() -> None:
        announced(f"{scheme}://{host}:{bound.getsockname()[1]} key {service.key.public}")

    server = SyncHttpServer(service, part.tls_certificate, part.tls_key, begun)
    loaded(server, part.tls_certificate, part.tls_key)
    bound = bound_at(part.host, part.port, "[sync]")
    server.run_until(stop, [bound])


@serve.command("acquire")
@click.pass_context
def serve_acquire(ctx: click.Context) -> None:
    """Take requests for images, and file what agents bring.

    Clients are told of each as it comes. Listens where [acquire] says. The page is at /, the
    API's description at /docs, metrics at /metrics.
    """
    with heeding_signals() as stop:
        _serve_acquire(ctx.obj, stop)
    say("stopped")


def _serve_acquire(path: Path, stop: threading.Event) -> None:
    from isthmus.acquire.log import Log
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.acquiring.serving import SiteService
    from isthmus.app.clock import SystemClock
    from isthmus.faces.http.acquire.server import AcquireHttpServer

    config = read_acquire_config(path)
    part = config.server
    bound = bound_at(part.host, part.port, "[acquire]")
    scheme = "https" if part.tls_certificate else "http"
    host = f"[{part.host}]" if ":" in part.host else part.host
    url = f"{scheme}://{host}:{bound.getsockname()[1]}"
    service = SiteService(config, Log(sys.stderr, SystemClock()), part.server.public_url or url)
    try:
        server = AcquireHttpServer(service, part.tls_certificate, part.tls_key, lambda: announced(url))
        loaded(server, part.tls_certificate, part.tls_key)
        server.run_until(stop, [bound])
    finally:
        service.release()


def announced(where: str) -> None:
    """Say that a server serves, and where: whoever reads the line may end it in order from then on."""
    click.echo(f"serving {where}")
    sys.stdout.flush()


def loaded(server: uvicorn.Server, certificate: str, key: str) -> None:
    """Load the certificate before anything is served. Raises InputError."""
    try:
        server.config.load()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{certificate} and {key} cannot be used: {error}", "name a PEM certificate and its key"
        ) from error


@serve.command("recovery")
@click.pass_context
def serve_recovery(ctx: click.Context) -> None:
    """Run the rounds of this site, and its changes of role.

    Where [recovery.door] is set, the other site brings and fetches its files here; GET /health,
    /v1/recovery and /metrics tell how it is.
    """
    with heeding_signals() as stop:
        _serve_recovery(ctx.obj, stop)
    say("stopped")


def _serve_recovery(path: Path, stop: threading.Event) -> None:
    from isthmus.app.recovery.config import read_recovery_config
    from isthmus.app.recovery.serving import Turns

    config = read_recovery_config(path)
    turns = Turns(config, log)
    door = config.recovery.door
    if door is None:
        _serve_alone(turns, stop)
        return
    from isthmus.faces.http.recovery import recovery_server

    scheme = "https" if door.tls_certificate else "http"
    server = recovery_server(config, turns, lambda: announced(f"{scheme}://{door.host}:{bound.getsockname()[1]}"))
    bound = bound_at(door.host, door.port, "[recovery.door]")
    loaded(server, door.tls_certificate, door.tls_key)
    turns.start()
    try:
        server.run_until(stop, [bound])
    finally:
        turns.stop()


def _serve_alone(turns: Turns, stop: threading.Event) -> None:
    """Take turns until a signal ends them."""
    announced("rounds")
    turns.start()
    try:
        while not stop.wait(0.5):
            continue
    finally:
        turns.stop()


def bound_at(host: str, port: int, table: str) -> socket.socket:
    """Listen where `table` of a TOML says. Raises InputError."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()
    except OSError as error:
        bound.close()
        what = f"cannot listen on {host} port {port}: {error.strerror}"
        raise InputError(what, f"choose another port or host in {table}") from error
    return bound


def log(text: str) -> None:
    """Say what happens, with the time."""
    say(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}")
