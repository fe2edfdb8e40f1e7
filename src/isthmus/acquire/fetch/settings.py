"""What an operator sets for an environment: [[agent.allow]], [[agent.rewrite]], [[agent.storage]] and the totals.

Secrets never stand here: a setting names the file or the environment variable that holds one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from isthmus.acquire.fetch.addresses import Networks, networks
from isthmus.core.settings import setting


@dataclass(frozen=True, slots=True)
class Allow:
    """One rule of the allow-list. What no rule names is refused."""

    schemes: tuple[str, ...] = setting(
        "schemes: http, https, ftp, ftps, sftp, dav, davs, webhdfs, swebhdfs, smb, file"
    )
    hosts: tuple[str, ...] = setting(
        "hosts: names, IP addresses, *.domain for names below it, * for any", default=()
    )
    ports: tuple[int, ...] = setting("ports; without any only the scheme's usual one", default=())
    cidr: tuple[str, ...] = setting(
        "networks that connections may be made to; without any only public addresses", default=()
    )
    roots: tuple[str, ...] = setting("for the scheme file: folders whose files may be read", default=(), path=True)

    def __post_init__(self) -> None:
        """Refuse a rule that could never fit, or a network that is none (ValueError)."""
        self.networks()
        if any(scheme != "file" for scheme in self.schemes) and not self.hosts:
            raise ValueError("hosts must name at least one host, or be '*'")
        if "file" in self.schemes and not self.roots:
            raise ValueError("the scheme file needs roots")
        if any(not 1 <= port <= 65535 for port in self.ports):
            raise ValueError("ports are 1 to 65535")
        if wrong := [host for host in self.hosts if "*" in host.removeprefix("*.") and host != "*"]:
            raise ValueError(f"host {wrong[0]!r}: * stands alone or begins with *.")

    def networks(self) -> Networks:
        """Return where connections of this rule may lead."""
        return Networks(networks(self.cidr), public=not self.cidr)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Changes addresses before anything else looks at them: by prefix, or by a pattern for the whole address."""

    to: str = setting("what to put in place; with a pattern, \\1 or \\g<name> stand for its groups")
    prefix: str = setting("the beginning that is replaced", default="")
    pattern: str = setting("regular expression for the whole address", default="")

    def __post_init__(self) -> None:
        """Refuse a rule with both or neither, or a pattern that cannot be read (ValueError)."""
        if bool(self.prefix) == bool(self.pattern):
            raise ValueError("give either prefix or pattern")
        try:
            if self.pattern:
                re.compile(self.pattern).sub(self.to, "")  # reads the replacement too
        except (re.error, IndexError) as error:
            raise ValueError(f"the pattern or its replacement cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Storage:
    """How storage servers are treated: credentials, limits, time-outs. The first entry that fits a server counts;

    each server that it fits has limits and a circuit breaker of its own.
    """

    hosts: tuple[str, ...] = setting("hosts it is for, written as in allow")
    schemes: tuple[str, ...] = setting("schemes it is for; without any all", default=())
    ports: tuple[int, ...] = setting("ports it is for; without any all", default=())
    auth: Literal["basic", "digest"] = setting("how user and password are shown over HTTP", default="basic")
    user: str = setting("user name; with s3_region the access key id", default="")
    password_file: str = setting("file that holds the password or secret key", default="", path=True)
    password_env: str = setting("environment variable that holds it", default="")
    token_file: str = setting("file with a bearer token; with s3_region the session token", default="", path=True)
    token_env: str = setting("environment variable that holds it", default="")
    s3_region: str = setting("sign requests as S3 does (AWS Signature 4) for this region", default="")
    ssh_key_file: str = setting(
        "private key for sftp; password_file may hold its passphrase", default="", path=True
    )
    known_hosts: str = setting("file with the host keys of sftp servers", default="", path=True)
    ca_file: str = setting("certificates that servers are verified by", default="", path=True)
    client_certificate: str = setting("certificate that is shown to the server", default="", path=True)
    client_key: str = setting("its private key", default="", path=True)
    explicit_tls: bool = setting("ftp: encrypt by AUTH TLS, or fail", default=False)
    rate: float = setting("requests begun per second; 0 is no limit", default=0.0, minimum=0, unit="1/s")
    burst: int = setting("requests that may begin at once under a rate", default=10, minimum=1)
    concurrency: int = setting("requests at a time", default=16, minimum=1, maximum=1000)
    failures: int = setting("failures in a row that open the circuit breaker", default=10, minimum=1)
    open_s: float = setting("how long it stays open before one request tries", default=30.0, minimum=0.1, unit="s")
    connect_s: float = setting("time for the connection to be made", default=5.0, minimum=0.1, unit="s")
    still_s: int = setting("time without a kilobyte per second", default=20, minimum=1, unit="s")
    total_s: float = setting("time for everything", default=120.0, minimum=0.1, unit="s")
    most_bytes: int = setting("largest content, packed or unpacked", default=20 << 20, minimum=1, unit="bytes")
    most_redirects: int = setting("redirects followed", default=5, minimum=0, maximum=50)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other (ValueError)."""
        for name in ("password", "token"):
            if getattr(self, f"{name}_file") and getattr(self, f"{name}_env"):
                raise ValueError(f"give {name}_file or {name}_env, not both")
        password = self.password_file or self.password_env
        if self.user and not password and not self.ssh_key_file:
            raise ValueError("user needs password_file, password_env or ssh_key_file")
        if password and not self.user:
            raise ValueError("a password needs user")
        if self.s3_region and not password:
            raise ValueError("s3_region needs user (the access key id) and password_file or password_env")
        if (self.token_file or self.token_env) and self.user and not self.s3_region:
            raise ValueError("a bearer token and user exclude each other")
        if bool(self.client_certificate) != bool(self.client_key):
            raise ValueError("client_certificate and client_key go together")


@dataclass(frozen=True, slots=True)
class EnvironmentRules:
    """All that an agent's [agent] table says about getting content in its environment."""

    allow: tuple[Allow, ...] = setting("what may be asked for; nothing by default", default=())
    rewrite: tuple[Rewrite, ...] = setting("changes of addresses, the first that fits", default=())
    storage: tuple[Storage, ...] = setting("storage servers: credentials, limits, time-outs", default=())
    at_once: int = setting("requests at a time to all servers together", default=256, minimum=1, maximum=2000)
    held: int = setting("requests taken on and not answered yet", default=1024, minimum=1)
    waiting_bytes: int = setting(
        "results not fetched yet beyond which nothing new begins", default=64 << 20, minimum=1 << 20, unit="bytes"
    )
    readers: int = setting("local files read at a time", default=2, minimum=1, maximum=32)
    others: int = setting("processes for schemes such as smb", default=2, minimum=1, maximum=32)
