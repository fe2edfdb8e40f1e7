"""MongoShake's file tunnel: blocks of oplog entries behind a header, all numbers big-endian.

    header   u64 magic 0xeeeeeeeeee201314 · u32 protocol 1 · u32 checksum (always 0) · 16 bytes reserved
    block    u32 checksum · u32 tag · u32 shard · u32 compress · u32 0xeeeeeeee · u32 length of the payload
    payload  u32 length · entry, repeated

The checksum is the exclusive or of the entries' CRC-32 (IEEE), as they lie there, packed; 0 means that none was
made. `compress` packs each entry on its own: 0 not at all, 1 gzip, 3 zlib, 4 raw deflate; 2 is called snappy, yet
MongoShake's own compressor of that name leaves entries as they are, and so it is read here. Blocks of several
shards lie in one file in the order in which workers sent them: entries of one document keep their order.
Read from MongoShake's `tunnel/file_writer.go`, `tunnel/tunnel.go` and `modules/compress.go`.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from isthmus.core.errors import Corrupt
from isthmus.gallery.oplog.chunks import Chunks
from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.read import TUNNEL_MAGIC, Container, ReadLimits, entries, entry_at, sniff

_HEADER = struct.Struct(">QII16s")
_BLOCK = struct.Struct(">IIIIII")
_LENGTH = struct.Struct(">I")
_MAGIC = int.from_bytes(TUNNEL_MAGIC, "big")
_BLOCK_MAGIC = 0xEEEEEEEE
_PROTOCOL = 1
_WRITTEN_TO_FILE = 0x00011000  # the tag's bits "persistent" and "storage backend"

_PLAIN = (0, 2)
_WBITS = {1: 31, 3: 15, 4: -15}
_AGAIN = "get the file again from its origin"


def recorded(chunks: Iterable[bytes], limits: ReadLimits | None = None) -> Iterator[RawEntry]:
    """Stream the entries of an oplog file of either kind, told apart by its first bytes. Raises Corrupt."""
    stream = Chunks(chunks)
    if sniff(stream.peek(len(TUNNEL_MAGIC))) is Container.TUNNEL:
        return tunnel_entries(stream, limits)
    return entries(stream, limits)  # type: ignore[arg-type]


def tunnel_entries(chunks: Iterable[bytes] | Chunks, limits: ReadLimits | None = None) -> Iterator[RawEntry]:
    """Stream the entries of a tunnel file; each block's checksum is verified before its entries are handed out.

    Raises Corrupt, with the offset, on anything that is not as the format says, a file that ends early included.
    """
    stream = chunks if isinstance(chunks, Chunks) else Chunks(chunks)
    bounds = limits or ReadLimits()
    magic, protocol, _, _ = _HEADER.unpack(stream.take(_HEADER.size))
    if magic != _MAGIC:
        raise Corrupt("the file does not begin as MongoShake's file tunnel does", _AGAIN)
    if protocol != _PROTOCOL:
        raise Corrupt(f"the file has MongoShake's protocol {protocol}", f"protocol {_PROTOCOL} is known here")
    while stream.peek(1):
        yield from _block(stream, bounds)


def _block(stream: Chunks, limits: ReadLimits) -> Iterator[RawEntry]:
    at = stream.offset
    checksum, _, _, packing, magic, length = _BLOCK.unpack(stream.take(_BLOCK.size))
    if magic != _BLOCK_MAGIC:
        raise Corrupt(f"at byte {at} begins no block of MongoShake's file tunnel", _AGAIN)
    if packing not in _PLAIN and packing not in _WBITS:
        raise Corrupt(f"the block at byte {at} is packed by compressor {packing}", "known are 0 to 4")
    if length > limits.most_block_bytes:
        raise Corrupt(f"the block at byte {at} has {length} bytes", f"at most {limits.most_block_bytes} are taken")
    packed = list(_split(stream, length, at))
    found = 0
    for _, piece in packed:
        found ^= zlib.crc32(piece)
    if checksum not in (0, found):
        raise Corrupt(f"the block at byte {at} has checksum {found:08x}, not {checksum:08x}", _AGAIN)
    for place, piece in packed:
        yield entry_at(_unpacked(piece, packing, place, limits.most_entry_bytes), place)


def _split(stream: Chunks, left: int, block: int) -> Iterator[tuple[int, bytes]]:
    while left > 0:
        if left < _LENGTH.size:
            raise Corrupt(f"the block at byte {block} does not end with an entry", _AGAIN)
        (size,) = _LENGTH.unpack(stream.take(_LENGTH.size))
        left -= _LENGTH.size
        if size > left:
            raise Corrupt(f"an entry at byte {stream.offset} reaches beyond its block", _AGAIN)
        yield stream.offset, stream.take(size)
        left -= size


def _unpacked(piece: bytes, packing: int, at: int, most: int) -> bytes:
    if packing in _PLAIN:
        raw, whole = piece, True
    else:
        machine = zlib.decompressobj(_WBITS[packing])
        try:
            raw = machine.decompress(piece, most + 1)
        except zlib.error as error:
            raise Corrupt(f"the entry at byte {at} cannot be unpacked: {error}", _AGAIN) from error
        whole = machine.eof and not machine.unused_data
    if len(raw) > most:
        raise Corrupt(f"the entry at byte {at} has more than {most} bytes", _AGAIN)
    if not whole:
        raise Corrupt(f"the entry at byte {at} is packed in pieces", _AGAIN)
    return raw


def write_tunnel(
    raws: Iterable[bytes], *, packing: int = 0, shard: int = 0, in_block: int = 64
) -> Iterator[bytes]:
    """Write entries as MongoShake does: the header, then a block of at most `in_block` entries at a time."""
    yield _HEADER.pack(_MAGIC, _PROTOCOL, 0, bytes(16))
    coming = iter(raws)
    while some := list(islice(coming, in_block)):
        packed = [_packed(raw, packing) for raw in some]
        yield _block_header(packed, packing, shard)
        for piece in packed:
            yield _LENGTH.pack(len(piece)) + piece


def _block_header(packed: Sequence[bytes], packing: int, shard: int) -> bytes:
    checksum = 0
    for piece in packed:
        checksum ^= zlib.crc32(piece)
    length = sum(_LENGTH.size + len(piece) for piece in packed)
    return _BLOCK.pack(checksum, _WRITTEN_TO_FILE, shard, packing, _BLOCK_MAGIC, length)


def _packed(raw: bytes, packing: int) -> bytes:
    if packing in _PLAIN:
        return raw
    if packing == 1:
        return gzip.compress(raw)
    machine = zlib.compressobj(wbits=_WBITS[packing])
    return machine.compress(raw) + machine.flush()
