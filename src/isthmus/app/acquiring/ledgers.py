"""The ledger that a site's TOML names: embedded, or in PostgreSQL."""

from __future__ import annotations

from isthmus.acquire.ledger_port import Ledger
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.secrets import secret_of
from isthmus.core.errors import InputError


def open_ledger(config: AcquireConfig) -> Ledger:
    """Open the site's ledger. Raises InputError where nothing tells how to reach PostgreSQL, Busy, Corrupt."""
    part = config.server
    if not part.shared:
        from isthmus.acquire.queue.sqlite import SqliteLedger

        config.state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteLedger(config.state_folder / "ledger.sqlite")
    from isthmus.acquire.queue.postgres import PostgresLedger

    return PostgresLedger(dsn_of(config), part.postgres_schema)


def dsn_of(config: AcquireConfig) -> str:
    """Read how PostgreSQL is reached. Raises InputError where nothing tells."""
    part = config.server
    file = config.place(part.postgres_file) if part.postgres_file else None
    dsn = secret_of(file, part.postgres_env)
    if not dsn:
        raise InputError(
            f"{file or part.postgres_env} holds no connection string",
            "write one such as postgresql://user:password@host/database there",
        )
    return dsn
