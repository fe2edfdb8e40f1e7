"""Calls every door of a running server as its description allows, and as it does not, and judges the answers."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, checks
from schemathesis.core.failures import FailureGroup

_CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
_ENDLESS = r"/events$"
_NO_HTTP = "Invalid HTTP request received."
"""What uvicorn answers to addresses beyond 64 KiB, before any door is asked."""


@dataclass
class Tried:
    """How many calls were made, and what was answered."""

    calls: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def tried(url: str, key: str, calls: int, number: int = 0, most_doors: int = 0) -> Tried:
    """Make about so many calls, spread over all doors, or over `most_doors` by chance. Streams are left out."""
    document: dict[str, Any] = requests.get(f"{url}/openapi.json", timeout=30).json()
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex=_ENDLESS)
    operations = [found.ok() for found in schema.get_all_operations()]
    if most_doors:
        operations = random.Random(number).sample(operations, min(most_doors, len(operations)))
    each = max(1, calls // (2 * len(operations)))
    told = Tried()
    with requests.Session() as session:
        session.trust_env = False
        for operation in operations:
            for mode in GenerationMode:
                _try(operation, mode, url, key, session, each, number, told)
    return told


def _try(
    operation: Any,
    mode: GenerationMode,
    url: str,
    key: str,
    session: requests.Session,
    each: int,
    number: int,
    told: Tried,
) -> None:
    strategy = operation.as_strategy(generation_mode=mode)

    @seed(number)
    @settings(
        max_examples=each,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def call(case: Case) -> None:
        headers = {"authorization": f"Bearer {key}"}
        response = case.call(base_url=url, session=session, headers=headers, timeout=60)
        told.calls += 1
        told.statuses[response.status_code] += 1
        if response.text == _NO_HTTP:
            return
        try:
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as error:
            told.failures.append(f"{operation.method.upper()} {operation.path}: {error}")

    with contextlib.suppress(Unsatisfiable):  # a door without parameters has nothing that could be wrong
        call()
