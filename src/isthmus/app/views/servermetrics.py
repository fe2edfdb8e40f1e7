"""What an interface server tells of itself to whoever asks for its metrics: no key is needed for that."""

from __future__ import annotations

import http.client
import math
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isthmus.app.acquiring.config import AcquireConfig

_PATIENCE_S = 1.0
_MOST_BYTES = 4 << 20
_LINE = re.compile(r'isthmus_acquire_(\w+)\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\} (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass
class ServerTold:
    """What a server told, by environment: seconds since its agents were heard of, quantiles in s, images filed."""

    address: str
    agents: dict[str, dict[str, float]] = field(default_factory=dict)
    request_s: dict[str, dict[str, float]] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)


def address_of(config: AcquireConfig) -> str:
    """Return where the site's interface server listens; empty where nobody knows beforehand."""
    part = config.acquire
    if part is None or not part.port:
        return ""
    host = f"[{part.host}]" if ":" in part.host else part.host
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host
    return f"{'https' if part.tls_certificate else 'http'}://{host}:{part.port}"


def told_by(config: AcquireConfig) -> ServerTold | None:
    """Ask the site's interface server; None where it does not answer within a second."""
    part, address = config.acquire, address_of(config)
    if part is None or not address:
        return None
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    try:
        if part.tls_certificate:
            own = ssl.create_default_context(cafile=part.tls_certificate)
            own.check_hostname = False  # it is asked at an address that its certificate need not name
            handlers.append(urllib.request.HTTPSHandler(context=own))
        with urllib.request.build_opener(*handlers).open(f"{address}/metrics", timeout=_PATIENCE_S) as answer:
            text = answer.read(_MOST_BYTES).decode(errors="replace")
    except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError):
        return None  # it does not run, or another program listens there
    return read(text, address)


def read(text: str, address: str = "") -> ServerTold:
    """Read metrics in Prometheus' text format; what is not known here is passed over."""
    told = ServerTold(address)
    for line in text.split("\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, inside, number = found.groups()
        labels = {key: _ESCAPED.sub(_meant, raw) for key, raw in _LABEL.findall(inside)}
        value, where = _number(number), labels.get("environment", "")
        if math.isnan(value) or not where:
            continue
        if name == "agent_silent_seconds":
            told.agents.setdefault(where, {})[labels.get("agent", "")] = value
        elif name == "request_seconds" and "quantile" in labels:
            told.request_s.setdefault(where, {})[labels["quantile"]] = value
        elif name == "images_total":
            told.images[where] = int(value)
    return told


def _meant(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
