"""Commands that serve: the sync server that devices connect to."""

from __future__ import annotations

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
    import socket

    import uvicorn

    from isthmus.app.galleries.config import read_gallery_config
    from isthmus.app.galleries.serving import SyncService
    from isthmus.faces.http.sync import application

    config = read_gallery_config(ctx.obj)
    part = config.need("sync")
    family = socket.AF_INET6 if ":" in part.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((part.host, part.port))
    except OSError as error:
        raise InputError(
            f"cannot listen on {part.host} port {part.port}: {error.strerror}", "choose another port in [sync]"
        ) from error
    service = SyncService(config, _log)
    secure = bool(part.tls_certificate)
    server = uvicorn.Server(
        uvicorn.Config(
            application(service),
            log_level="warning",
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=1 << 20,
            timeout_graceful_shutdown=5,
            ssl_certfile=str(config.place(part.tls_certificate)) if secure else None,
            ssl_keyfile=str(config.place(part.tls_key)) if secure else None,
        )
    )
    scheme = "https" if secure else "http"
    host = f"[{part.host}]" if ":" in part.host else part.host
    click.echo(f"serving {scheme}://{host}:{bound.getsockname()[1]} key {service.key.public}")
    sys.stdout.flush()
    server.run(sockets=[bound])
    say("stopped")


def _log(text: str) -> None:
    say(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}")
