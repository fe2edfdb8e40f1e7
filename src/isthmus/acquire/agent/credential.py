"""The credential that an operator carries to an environment: a JSON file that only its owner can read.

It holds the server's address, the environment that it is bound to, the API key, and what deliveries are signed
with (`whsec_…`, or `whsk_…` where the environment is not trusted with a shared secret). Nothing of it is ever part
of a command line, a message or a log line.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import ssl
import stat
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from isthmus.acquire.delivery.signing import PrivateKey, SharedSecret, signer_of
from isthmus.acquire.request import is_environment
from isthmus.core.errors import InputError, Refused
from isthmus.state.files import write_private

FORMAT = "isthmus agent credential 1"
_MOST_BYTES = 64 << 10
_PIN = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[\x21-\x7e]{16,512}")


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an agent needs to be believed. `server` is the base URL as the environment reaches it.

    `ca` is PEM of the authority that signed the server's certificate; `pin` the SHA-256 of the certificate itself
    in 64 hexadecimal digits, for servers that signed their own; without both the system's authorities count.
    `deliver_to` lists other origins that callbacks may lie at. `plain` allows http:// beyond this machine.
    """

    format: str
    server: str
    environment: str
    key: str
    signing: str
    ca: str = ""
    pin: str = ""
    deliver_to: tuple[str, ...] = ()
    plain: bool = False

    def __repr__(self) -> str:
        return f"Credential(for {self.environment} at {self.server})"

    def signer(self) -> SharedSecret | PrivateKey:
        """Return what signs deliveries."""
        return signer_of(self.signing)

    def origins(self) -> frozenset[str]:
        """Return the origins that deliveries may go to."""
        return frozenset(origin(url) for url in (self.server, *self.deliver_to))

    def context(self) -> ssl.SSLContext | None:
        """Return how the server's certificate is judged; None for plain HTTP.

        A pin is compared by whoever connects. Raises InputError where `ca` is no certificate.
        """
        if not self.server.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca or None)
        except ssl.SSLError as error:
            raise InputError(
                "the credential's ca is no certificate in PEM", "make the credential again"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.pin and not self.ca:  # the pin alone says who it is
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def save(self, path: Path) -> None:
        """Write the file, mode 0600, durably. Raises InputError where it exists already or something is wrong."""
        check(self)
        try:
            write_private(path, msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        except FileExistsError as error:
            raise InputError(f"{path} exists already", "choose another path") from error


def load(path: Path) -> Credential:
    """Read a credential.

    Raises InputError where there is none or it is not whole, Refused where others than the owner may read or
    write it.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(_MOST_BYTES)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(
            f"there is no credential in {path}", "make one at the server and carry it here"
        ) from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Refused(f"{path} can be read or written by others than its owner", f"chmod 600 {path}")
    try:
        credential = msgspec.json.decode(content, type=Credential)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        what = str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON"
        raise InputError(f"{path} is no credential of an agent: {what}", "make it again at the server") from None
    check(credential)
    return credential


def check(credential: Credential) -> None:
    """Raise InputError, without a secret in it, where something of a credential is not right."""
    again = "make the credential again at the server"
    if credential.format != FORMAT:
        raise InputError(f"a credential of format {credential.format[:40]!r} is not known here", again)
    if not is_environment(credential.environment):
        raise InputError(f"the credential is for {credential.environment[:40]!r}, which is no environment", again)
    if not _KEY.fullmatch(credential.key):
        raise InputError("the credential's key is none", again)
    if credential.pin and not _PIN.fullmatch(credential.pin):
        raise InputError("the credential's pin is no SHA-256 in hexadecimal digits", again)
    for url in (credential.server, *credential.deliver_to):
        parts = urlsplit(url)
        if origin(url) == "" or parts.username or parts.query or parts.fragment:
            raise InputError(f"{parts.scheme}://{parts.hostname or '?'} is no address of a server", again)
        if parts.scheme == "http" and not credential.plain and not _here(parts.hostname or ""):
            raise InputError(
                f"{origin(url)} would be asked in the clear", "use https, or allow it with plain in the credential"
            )
    signer_of(credential.signing)


def origin(url: str) -> str:
    """Return `scheme://host:port` of a URL of http or https; empty where it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def pin_of(certificate: bytes) -> str:
    """Return the pin of a certificate in DER."""
    return hashlib.sha256(certificate).hexdigest()


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
