"""Commands that serve: the sync server that devices connect to."""

from __future__ import annotations

import socket
import sys
from datetime import UTC, datetime

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.root import Commands, isthmus
from isthmus.faces.cli.screen import say


@isthmus.group(cls=Commands)
def serve() -> None:
    """Run a server of this site until it is interrupted."""


@serve.command("sync")
@click.pass_context
def serve_sync(ctx: click.Context) -> None:
    """Follow the gate and serve devices over ICE.

    Listens where [sync] says. GET /health, /v1/status and /metrics tell how it is.
    """
    from isthmus.app.galleries.config import read_gallery_config
    from isthmus.app.galleries.serving import SyncService
    from isthmus.faces.http.server import SyncHttpServer

    config = read_gallery_config(ctx.obj)
    part = config.need("sync")
    service = SyncService(config, _log)
    service.check()
    server = SyncHttpServer(service, part.tls_certificate, part.tls_key)
    try:
        server.config.load()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{part.tls_certificate} and {part.tls_key} cannot be used: {error}",
            "name a PEM certificate and its key",
        ) from error
    bound = _bound(part.host, part.port)
    scheme = "https" if part.tls_certificate else "http"
    host = f"[{part.host}]" if ":" in part.host else part.host
    click.echo(f"serving {scheme}://{host}:{bound.getsockname()[1]} key {service.key.public}")
    sys.stdout.flush()
    server.run(sockets=[bound])
    say("stopped")


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()
    except OSError as error:
        bound.close()
        what = f"cannot listen on {host} port {port}: {error.strerror}"
        raise InputError(what, "choose another port or host in [sync]") from error
    return bound


def _log(text: str) -> None:
    say(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}")
