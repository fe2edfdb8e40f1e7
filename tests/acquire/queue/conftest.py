"""The ledger on every driver."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import acquire_servers
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.queue.postgres import PostgresLedger
from isthmus.acquire.queue.sqlite import SqliteLedger

_SCHEMAS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[acquire_servers.Postgres]:
    with acquire_servers.postgres() as server:
        yield server


@pytest.fixture
def schema() -> str:
    return f"acquire_{next(_SCHEMAS)}"


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, schema: str) -> Iterator[Ledger]:
    made: Ledger
    if request.param == "sqlite":
        made = SqliteLedger(tmp_path / "acquire.db")
    else:
        made = PostgresLedger(request.getfixturevalue("postgres").dsn, schema)
    yield made
    made.close()
