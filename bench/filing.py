"""Filing: images a second through one worker process, and where its time goes. Real photos, made small."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench.figure import Figure, scratch, show
from isthmus.acquire.filing.contents import Contents, Entry
from isthmus.acquire.filing.pool import FilingPool
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.work import Draft, Examiner, nearest
from isthmus.acquire.image import Arrived, Filed
from isthmus.acquire.request import Wish
from isthmus.imaging import exif
from isthmus.imaging.decode import look
from samples import SAMPLES

DELIVERY = 16
AT_ONCE = 12


def run(scale: float = 1.0) -> list[Figure]:
    """Measure; `scale` is the part of the images that are filed."""
    if not (SAMPLES / "photos").is_dir():
        print(f"  the photos are missing: put them in {SAMPLES} or set ISTHMUS_SAMPLES")
        return []
    figures = []
    for name, size, edge, count in (("20 KB", 20_000, 480, 6000), ("200 KB", 200_000, 1280, 1200)):
        arrived = images(size, edge, max(DELIVERY, int(count * scale)))
        mean = sum(len(one.content) for one in arrived if isinstance(one.content, bytes)) / len(arrived)
        with scratch("filing") as folder:
            rate, ours, workers = asyncio.run(through_pool(arrived, folder / "pool"))
        small = name == "20 KB"
        goal = "at least 2,500" if small else ""
        figures += [
            Figure(f"images of {mean / 1000:.0f} KB filed by one worker", rate, "images/s", "", None, goal,
                   rate >= 2500 if small else None),
            Figure("  CPU of the worker", workers * 1e3, "ms/image"),
            Figure("  CPU of the pool, with the sender's", ours * 1e3, "ms/image"),
        ]  # fmt: skip
        if small:
            with scratch("filing") as folder:
                figures += parts(arrived[:1000], folder / "parts")
    return figures


def images(size: int, edge: int, count: int) -> list[Arrived]:
    """Make different images of about `size` bytes from the real photos, with their own EXIF where it is small."""
    made = []
    for file in sorted((SAMPLES / "photos").glob("[el]*/*.jpg")):
        try:
            image = Image.open(file)
            block = image.info.get("exif", b"")
            image = image.convert("RGB")
        except OSError:
            continue
        image.thumbnail((edge, edge))
        for quality in range(30, 98, 4):
            into = io.BytesIO()
            image.save(into, "JPEG", quality=quality, exif=block if len(block) < size // 8 else b"")
            if into.tell() >= size:
                break
        if into.tell() > 0.7 * size:
            made.append(into.getvalue())
    arrived = []
    for at in range(count):
        content = made[at % len(made)] + b"\0" * (at // len(made))  # padding: another digest, the same picture
        arrived.append(
            Arrived(at, "public", Wish("http://x/y.jpg", "public", f"r{at}"), content, blake3(content).hexdigest())
        )
    return arrived


async def through_pool(arrived: list[Arrived], root: Path) -> tuple[float, float, float]:
    """File all through one worker; return images a second, and seconds of CPU an image here and in the worker."""
    pool = FilingPool(FilingRules(str(root)))
    await pool.start()
    await pool.file(arrived[:1])
    waiting = [arrived[at : at + DELIVERY] for at in range(1, len(arrived), DELIVERY)]
    worker = next(iter(pool._at))._process.pid
    before, ours, theirs = time.perf_counter(), time.process_time(), _cpu_s(worker)

    async def deliver() -> None:
        while waiting:
            for filed in await pool.file(waiting.pop()):
                assert isinstance(filed, Filed), filed

    await asyncio.gather(*(deliver() for _ in range(AT_ONCE)))
    seconds, ours, theirs = time.perf_counter() - before, time.process_time() - ours, _cpu_s(worker) - theirs
    await pool.close()
    return len(arrived) / seconds, ours / len(arrived), theirs / len(arrived)


def parts(arrived: list[Arrived], root: Path) -> list[Figure]:
    """Measure the parts of the work one by one, in this process, as CPU milliseconds an image."""
    rules = FilingRules(str(root))
    contents = [one.content for one in arrived if isinstance(one.content, bytes)]
    looked = [look(content) for content in contents]
    positions = [(read.latitude, read.longitude) for read in (exif.read(one.exif) for one in looked)]
    nearest(0, 0)
    figures = [
        _part("decode", len(arrived), lambda: [look(content) for content in contents]),
        _part("exif", len(arrived), lambda: [exif.read(one.exif) for one in looked]),
        _part(
            "place", len(arrived), lambda: [nearest(a, b) for a, b in positions if a is not None and b is not None]
        ),
    ]
    examiner = Examiner(rules)
    drafts: list[Draft] = []
    figures.append(_part("all but the disk", len(arrived), lambda: drafts.extend(_drafts(examiner, arrived))))
    shelf = Contents(root)
    entries = [Entry(draft) for draft in drafts]
    groups = [entries[at : at + 128] for at in range(0, len(entries), 128)]
    figures.append(_part("write", len(arrived), lambda: [shelf.write(group) for group in groups]))
    figures.append(_part("sync, groups of 128", len(arrived), lambda: [shelf.settle(group) for group in groups]))
    figures.append(_part("rename and link", len(arrived), lambda: [shelf.publish(group) for group in groups]))
    shelf.close()
    return figures


def _drafts(examiner: Examiner, arrived: list[Arrived]) -> list[Draft]:
    return [draft for one in arrived if isinstance(draft := examiner.examine(one), Draft)]


def _part(name: str, count: int, action: Callable[[], object]) -> Figure:
    before, cpu = time.perf_counter(), time.process_time()
    action()
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    return Figure(f"  {name} (wall {seconds / count * 1e3:.3f})", cpu / count * 1e3, "ms CPU")


def _cpu_s(process: int) -> float:
    """Tell how much CPU a process has used, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
    print(f"  memory here at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
