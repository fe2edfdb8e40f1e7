"""Checks a certificate and its key before anything is served with them: one clear line for each way to fail."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from isthmus.core.errors import InputError

_SOON_DAYS = 21


def check_tls(certificate: str, key: str, now: datetime) -> list[str]:
    """Check that a server can use a PEM certificate chain with its key; returns notes on what may surprise.

    Raises InputError: a file that is not there or no PEM, a key with a passphrase, a key of another certificate,
    a certificate that is not valid at `now`. Needs the extra console for the dates.
    """
    for path in (certificate, key):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror}", "name a PEM certificate and its key"
            ) from error
    asked: list[bool] = []

    def passphrase() -> str:
        asked.append(True)  # without this OpenSSL would ask on the terminal, and a service would wait for ever
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, passphrase)
    except (OSError, ValueError) as error:
        raise InputError(*_meaning(error, certificate, key, bool(asked))) from error
    return [*_dates(Path(certificate), now), *_open_to_others(Path(key))]


def _meaning(error: Exception, certificate: str, key: str, asked: bool) -> tuple[str, str]:
    if asked:
        return f"{key} is locked by a passphrase", "store it without: openssl pkey -in KEY -out NEW"
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return f"{key} is the key of another certificate than {certificate}", "name the two that belong together"
    return f"{certificate} and {key} cannot be used: {error}", "name a PEM certificate and its key"


def _dates(certificate: Path, now: datetime) -> list[str]:
    from cryptography import x509

    first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    since, until = first.not_valid_before_utc, first.not_valid_after_utc
    if now < since:
        raise InputError(f"{certificate} is valid from {since:%Y-%m-%d %H:%M} UTC on", "mend this machine's clock")
    if now >= until:
        raise InputError(f"{certificate} expired on {until:%Y-%m-%d %H:%M} UTC", "put a new one in its place")
    days = (until - now).days
    return [f"{certificate} expires in {days} days"] if days < _SOON_DAYS else []


def _open_to_others(key: Path) -> list[str]:
    if key.stat().st_mode & 0o077:
        return [f"{key} can be read by others than its owner: chmod go-rwx {key}"]
    return []
