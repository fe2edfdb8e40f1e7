"""Looks at addresses: whether the site can listen where it is to, or does so, and whether its peers answer."""

from __future__ import annotations

import errno
import http.client
import ipaddress
import json
import os
import socket
import ssl
from collections import defaultdict
from collections.abc import Iterable, Iterator

from isthmus.app.product.finding import Finding, error, note, warning
from isthmus.app.product.record import UpRecord
from isthmus.app.product.standing import RUNNING, STARTING
from isthmus.app.product.surroundings import Listener, Peer

_PATIENCE_S = 3.0


def ports(listeners: Iterable[Listener], record: UpRecord | None) -> Iterator[Finding]:
    """Look whether each address is free, or served by this site itself. `record` is its supervisor's."""
    claimed: dict[int, list[Listener]] = defaultdict(list)
    for one in listeners:
        if one.port:
            claimed[one.port].append(one)
    for port, several in claimed.items():
        for number, one in enumerate(several):
            clash = next((other for other in several[:number] if _same(one.host, other.host)), None)
            if clash is not None:
                yield error(
                    f"{one.table} and {clash.table} listen at the same port {port}",
                    f"{one.host}:{port}",
                    f"set another port in {one.table}",
                )
        for one in several:
            yield from _port(one, record)


def _port(one: Listener, record: UpRecord | None) -> Iterator[Finding]:
    ran = record.part(one.part) if record is not None and record.alive else None
    if ran is not None and ran.state in (RUNNING, STARTING):
        yield note(f"{one.part} is served by isthmus up", ran.address or f"{one.host}:{one.port}")
        return
    number, where = bindable(one.host, one.port), f"{one.host}:{one.port}"
    if not number:
        return
    if number == errno.EADDRINUSE:
        if _answers(one.host, one.port):
            yield note(f"{one.part} is served, by a process that is not isthmus up's", where)
        else:
            mend = f"set another port in {one.table}, or end what listens there: ss -tlnp 'sport = :{one.port}'"
            yield error(f"another program listens where {one.part} is to", where, mend)
    elif number == errno.EACCES:
        mend = f"take a port from 1024 up in {one.table}, with a proxy before it"
        yield error(f"{one.part} may not listen there", where, mend)
    else:
        mend = f"set host in {one.table} to an address of this machine"
        yield error(f"{one.part} cannot listen there: {os.strerror(number)}", where, mend)


def bindable(host: str, port: int) -> int:
    """Return 0 where a server could listen at an address, or the number of the error why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
            tried.listen()
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as problem:
        return problem.errno or errno.EADDRNOTAVAIL
    return 0


def peers(things: Iterable[Peer]) -> Iterator[Finding]:
    """Connect to each peer, and hang up."""
    for one in things:
        where = f"{one.host}:{one.port}"
        try:
            socket.create_connection((one.host, one.port), _PATIENCE_S).close()
        except OSError as problem:
            why = problem.strerror or str(problem) or "no answer"
            yield warning(
                f"{one.what} does not answer: {why}", where, "see that it runs, and that no firewall is between"
            )
        else:
            yield note(f"{one.what} answers", where)


def _answers(host: str, port: int) -> bool:
    """Tell whether a server of this product answers GET /health, over TLS or not."""
    near = "127.0.0.1" if host in ("0.0.0.0", "") else "::1" if host == "::" else host
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # asked who it is, told nothing
    for connection in (
        http.client.HTTPConnection(near, port, timeout=_PATIENCE_S),
        http.client.HTTPSConnection(near, port, timeout=_PATIENCE_S, context=trusting),
    ):
        try:
            connection.request("GET", "/health")
            told = json.loads(connection.getresponse().read(64 << 10))
        except (OSError, http.client.HTTPException, ValueError):
            continue
        finally:
            connection.close()
        return isinstance(told, dict) and "status" in told
    return False


def _same(one: str, other: str) -> bool:
    """Tell whether two hosts would be in each other's way."""
    try:
        first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:
        return one == other or "localhost" in (one, other)
    return first == second or (first.version == second.version and (first.is_unspecified or second.is_unspecified))
