"""The command that serves a site as one product: its API, and the pages of its console."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from isthmus.faces.cli.screen import say
from isthmus.faces.cli.serve import announced, bound_at, loaded, log, serve
from isthmus.faces.cli.stopping import heeding_signals


@serve.command("console")
@click.pass_context
def serve_console(ctx: click.Context) -> None:
    """Show the site, and run its operations, by pages and by an API.

    Listens where [console] says: pages at /, the API below /v1, its description at /docs, metrics at /metrics.
    Nobody is let in before there is a user or a key: isthmus user add NAME --role admin
    """
    with heeding_signals() as stop:
        _serve_console(ctx.obj, stop)
    say("stopped")


def _serve_console(path: Path, stop: threading.Event) -> None:
    from isthmus.app.clock import SystemClock
    from isthmus.app.console import need_leave_to_listen, read_console_config
    from isthmus.app.people.access import somebody_known
    from isthmus.app.tls import check_tls
    from isthmus.app.views.overview import overview_of
    from isthmus.app.works.runner import Runner
    from isthmus.faces.cli.catalogue import grave, recipes
    from isthmus.faces.console.application import site_application
    from isthmus.faces.http.hub.guard import guard_of
    from isthmus.faces.http.hub.hub import Hub
    from isthmus.faces.http.hub.server import HubServer

    config, clock = read_console_config(path), SystemClock()
    part = config.console
    known = somebody_known(config.people_file, clock)
    need_leave_to_listen(part, known)
    if part.tls_certificate:
        for note in check_tls(part.tls_certificate, part.tls_key, clock.now()):
            say(f"note: {note}")
    bound = bound_at(part.host, part.port, "[console]")
    runner = Runner(config.state_folder, config.path, recipes, clock)
    runner.open()
    guard = guard_of(config, clock)
    try:
        hub = Hub(config.path, config.sites, guard, runner, clock, log, grave())
        scheme = "https" if part.tls_certificate else "http"
        host = f"[{part.host}]" if ":" in part.host else part.host

        def begun() -> None:
            announced(f"{scheme}://{host}:{bound.getsockname()[1]}")
            if not known:
                say("nobody is known yet; make the first user: isthmus user add NAME --role admin", fold=True)

        server = HubServer(site_application(hub), part.tls_certificate, part.tls_key, begun)
        loaded(server, part.tls_certificate, part.tls_key)
        # the first look loads what is heavy: it is taken before anybody waits for it
        threading.Thread(target=overview_of, args=([hub.toml, *hub.sites], clock.now()), daemon=True).start()
        server.run_until(stop, [bound])
    finally:
        guard.desk.close()
        runner.close()
