"""The TOML of a new interface server or agent: short, and with what one changes first."""

from __future__ import annotations

from pathlib import Path

from isthmus.app.newsite import write_new

_ROLES = {
    "acquire": """
[acquire]
host = "127.0.0.1"       # beyond loopback it needs tls_certificate and tls_key
port = 8480
# tls_certificate = "tls/chain.pem"
# tls_key = "tls/key.pem"
# postgres_file = "postgres"   # a file with a connection string: where several servers share one ledger

[acquire.server]
# public_url = "https://images.example.org:8480"   # as agents reach this server, where that is another address

[acquire.filing]
root = "images"          # the folder of all images; how paths in it are made: isthmus keys acquire.filing
workers = 1              # processes that check and store; one does about 700 photos of 200 KB a second
zone = "UTC"             # of cameras that do not tell theirs
# [acquire.filing.zones] # the same by environment
# video = "Europe/Berlin"

[acquire.keep]
days = 0                 # images are removed after so many days; 0: never
gigabytes = 0            # the oldest go beyond so much; 0: no bound
""",
    "agent": """
[agent]
credential = "agent.json"    # made at the server: isthmus acquire environment add LABEL --out agent.json
folder = "agent"             # where results wait while the server is away

# What may be asked for. What no rule names is refused, and where a rule names no networks its connections lead to
# public addresses alone.

# [[agent.allow]]
# schemes = ["http", "https"]
# hosts = ["storage.video.example", "*.cameras.example"]
# ports = [80, 443]
# cidr = ["10.20.0.0/16"]

# Addresses that are right only in another segment are changed before anything else looks at them.

# [[agent.rewrite]]
# prefix = "https://video.example.org/"
# to = "http://10.20.0.7/"

# How storage servers are treated: the first entry that fits counts. Secrets come from files or the environment.

# [[agent.storage]]
# hosts = ["storage.video.example"]
# user = "reader"
# password_file = "keys/storage"
# concurrency = 16           # requests at a time
# rate = 0                   # requests begun per second; 0: no limit
""",
}
NEXT = {
    "acquire": "acquire environment add LABEL --out LABEL.json, for each environment; then: serve acquire",
    "agent": "agent --environment LABEL, after its credential was carried here and [[agent.allow]] says what for",
}
"""By role, what one does next."""


def write_acquire_site(folder: Path, role: str) -> Path:
    """Write the TOML of a site with a role, acquire or agent; returns it.

    Raises InputError where a site is there already.
    """
    return write_new(folder, _ROLES[role], role)
