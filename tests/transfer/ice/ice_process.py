"""One end of a channel in a process of its own, for tests that kill it and for measuring it.

    python ice_process.py ENGINE sink|talk|silent

Reads an offer (one line of JSON) from its standard input, writes its answer (another) and, once the channel is
open, `open`. Then `sink` reads until the end and tells what came, `talk` sends for ever, `silent` does neither.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

from isthmus.transfer.channel import MOST_MESSAGE_BYTES, ChannelClosed
from isthmus.transfer.ice.attempt import attempt
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.settings import IceSettings


async def main(engine: str, role: str) -> None:
    settings = replace(IceSettings(loopback=True, gather_s=3.0), engine=engine)  # type: ignore[arg-type]
    async with attempt(settings) as one:
        say(await one.answer(json.loads(sys.stdin.readline())))
        channel = await one.opened()
    say("open")
    try:
        await {"sink": sink, "talk": talk, "silent": silent}[role](channel)
    finally:
        await channel.close()


async def sink(channel: IceChannel) -> None:
    came, size, before = hashlib.blake2b(), 0, peak_kib()
    while True:
        try:
            message = await channel.receive()
        except ChannelClosed:
            break
        came.update(message)
        size += len(message)
    say({"size": size, "digest": came.hexdigest(), "grown_kib": peak_kib() - before})


async def talk(channel: IceChannel) -> None:
    message = bytes(MOST_MESSAGE_BYTES)
    while True:
        await channel.send(message)


async def silent(channel: IceChannel) -> None:
    await asyncio.Event().wait()


def peak_kib() -> int:
    """Return this process's own peak of resident memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
