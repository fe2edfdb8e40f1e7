"""The TOML of a new site that keeps, receives or carries galleries: short, and with what one changes first."""

from __future__ import annotations

from pathlib import Path

from isthmus.app.newsite import write_new

_ROLES = {
    "inner": """
[gallery]
role = "inner"           # galleries are changed here, and every change crosses the gate

[gate]
folder = "gate"          # what lies here the gatekeeper carries to the other side
key = "keys/gate.pem"    # signs what is sent; make it with: isthmus gate keys
format = "tar"           # or "plain", where the gatekeeper lets only .bson pass
""",
    "outer": """
[gallery]
role = "outer"           # follows what crosses the gate
extractor = "faces"      # or "phash" for images of other things; "" for images without vectors

[gate]
folder = "gate"          # where the gatekeeper puts what it carries
trust = []               # the sender's public key, as `isthmus gate keys` shows it there: ["ed25519:…"]

[sync]
host = "127.0.0.1"       # beyond loopback it needs tls_certificate and tls_key
port = 8470

[ice]
# stun = "stun:stun.example.org:3478"
""",
    "device": """
[device]
folder = "device"        # where the galleries lie
extractor = "faces"      # the one that the server has
# person = "name"                        # the attribute that says whose a record is
# store_key_env = "ISTHMUS_STORE_KEY"    # encrypts the store: 64 hexadecimal digits

[ice]
# stun = "stun:stun.example.org:3478"
""",
}
NEXT = {
    "inner": "gate keys",
    "outer": "device invite NAME --tag PLACE, after the sender's key was added to trust",
    "device": "device enrol URL --token-file FILE",
}
"""By role, what one does next."""


def write_gallery_site(folder: Path, role: str) -> Path:
    """Write the TOML of a site with a role, inner, outer or device; returns it.

    Raises InputError where a site is there already.
    """
    return write_new(folder, _ROLES[role], "gate")
