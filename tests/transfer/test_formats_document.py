"""A second implementation, written from docs/formats.md alone: each must open what the other makes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import struct
import tarfile
from pathlib import Path
from typing import Any

import bson
import pytest
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from isthmus.core.digest import Digest
from isthmus.core.header import BundleName
from isthmus.transfer.formats import family, open_files
from isthmus.transfer.signing import PublicKey

DOCUMENT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "bundle-v1").iterdir())
PUBLIC = "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
KEY = bytes(range(0x40, 0x60))


def signed(purpose: str, *parts: bytes) -> bytes:
    return purpose.encode() + b"\0" + b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def one_form(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def checked(purpose: str, header: bytes, manifest: bytes, signature: bytes) -> tuple[Any, list[Any]]:
    public, proof = signature.decode().splitlines()
    assert public == PUBLIC
    raw = base64.b64decode(public.removeprefix("ed25519:"))
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(proof), signed(purpose, header, manifest))
    told, listed = json.loads(header), json.loads(manifest)
    assert (one_form(told), one_form(listed)) == (header, manifest)
    assert told["format"] == listed["format"] == 1
    return told, listed["members"]


def read_tar(file: Path) -> tuple[Any, bytes]:
    with tarfile.open(file, "r:") as archive:
        entries = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    told, members = checked(
        "isthmus bundle 1", entries["header.json"], entries["manifest.json"], entries["signature"]
    )
    content = b""
    for member in members:
        packed = entries[member["path"]]
        assert (blake3(packed).hexdigest(), len(packed)) == (member["blake3"], member["size"])
        content += zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
        assert len(content) == member["unpacked"]
    return told, content


def read_plain(sidecar: Path) -> tuple[Any, bytes]:
    told, members = checked(
        "isthmus plain 1", *(text.encode() for text in bson.decode(sidecar.read_bytes()).values())
    )
    content = b""
    for member in members:
        content = sidecar.with_name(sidecar.name.replace(".manifest.bson", ".bson")).read_bytes()
        assert blake3(content).hexdigest() == member["blake3"]
    return told, content


def digest_of(documents: list[Any]) -> str:
    lanes = [0, 0, 0, 0]
    for document in documents:
        state = hashlib.blake2b(key=KEY, digest_size=32)
        for part in (b"gallery.persons", bson.encode({"_id": document["_id"]}), b"", bson.encode(document)):
            state.update(struct.pack("<Q", len(part)) + part)
        lanes = [
            (one + other) % 2**64 for one, other in zip(lanes, struct.unpack("<4Q", state.digest()), strict=True)
        ]
    return struct.pack("<4Q", *lanes).hex()


@pytest.mark.parametrize(
    "file", [file for file in GOLDEN if file.name.endswith(("tar", "manifest.bson"))], ids=lambda file: file.name
)
def test_what_isthmus_makes_is_read_by_the_document_alone(file: Path) -> None:
    told, content = read_tar(file) if file.suffix == ".tar" else read_plain(file)
    documents = [entry["o"] for entry in bson.decode_all(content)]
    if told["kind"] == "snapshot":
        assert digest_of(documents) == told["until"]["digest"]
    assert told["kind"] != "increment" or [document["name"] for document in documents] == ["Grace"]


def made_by_the_document(kind: str, form: str) -> dict[str, bytes]:
    """Make the files of a bundle, by ending."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    content = b"" if kind == "heartbeat" else bson.encode({"op": "n", "ns": "", "o": {"msg": "hello"}})
    packed = content if form == "plain" else zstandard.ZstdCompressor().compress(content)
    path = "entries.bson" if form == "plain" else "entries.bson.zst"
    header = one_form(
        {
            "format": 1,
            "stream": "persons",
            "kind": kind,
            "since": {"epoch": 2, "seq": 0, "digest": "00" * 32},
            "until": {"epoch": 2, "seq": 1, "digest": "11" * 32},
            "site": "inner.2",
            "made": "2026-11-21T00:00:00+00:00",
            "codec": "none" if form == "plain" else "zstd",
            "key": KEY.hex(),
            "counts": {"entries": 1},
        }
    )
    member = {"path": path, "size": len(packed), "unpacked": len(content), "blake3": blake3(packed).hexdigest()}
    manifest = one_form({"format": 1, "members": [member] if content else []})
    proof = private.sign(signed(f"isthmus {'plain' if form == 'plain' else 'bundle'} 1", header, manifest))
    signature = f"{PUBLIC}\n{base64.b64encode(proof).decode()}\n".encode()
    before = "" if kind == "increment" else f"{kind}."
    if form == "plain":
        strings = {"header": header.decode(), "manifest": manifest.decode(), "signature": signature.decode()}
        sidecar = {f"{before}manifest.bson": bson.encode(strings)}
        return {f"{before}bson": content, **sidecar} if content else sidecar
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT, bufsize=512) as archive:
        inner = {path: packed} if content else {}
        for name, body in {
            "header.json": header,
            **inner,
            "manifest.json": manifest,
            "signature": signature,
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(body), 1_795_219_200
            archive.addfile(entry, io.BytesIO(body))
    return {f"{before}tar": out.getvalue()[: archive.offset]}


@pytest.mark.parametrize("kind", ["increment", "snapshot", "heartbeat"])
@pytest.mark.parametrize("form", ["tar", "plain"])
def test_what_is_made_by_the_document_alone_is_opened_by_isthmus(tmp_path: Path, kind: str, form: str) -> None:
    files = {}
    for ending, content in made_by_the_document(kind, form).items():
        files[ending] = tmp_path / ending
        files[ending].write_bytes(content)
    name = BundleName("persons", 2, 1, next(iter(files)))
    assert family(name.ending) == tuple(files)
    opened = open_files(name, files, {"persons": frozenset({PublicKey.of_text(PUBLIC)})})
    assert (opened.header.kind.value, opened.header.site, opened.header.counts) == (
        kind,
        "inner.2",
        {"entries": 1},
    )
    assert opened.header.until.digest == Digest(b"\x11" * 32)
    assert sum(len(piece) for member in opened.members for piece in opened.read(member)) == (
        0 if kind == "heartbeat" else len(bson.encode({"op": "n", "ns": "", "o": {"msg": "hello"}}))
    )


def test_the_known_answers_of_the_document_are_right() -> None:
    ada, grace = {"_id": 1, "name": "Ada"}, {"_id": 2, "name": "Grace"}
    assert re.findall(r"[0-9a-f]{64}", DOCUMENT)[:2] == [digest_of([grace, ada]), digest_of([ada])]
    assert PUBLIC in DOCUMENT
