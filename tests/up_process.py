"""Runs a site's supervisor whose parts are small programs: `python up_process.py TOML NAME=CODE …`.

The name of a part that tells ends with "!"; that of one that does its work and ends, again and again, with "~".
Every change of a part is printed as `STATE NAME PID`, every line of a part as `SAID NAME LINE`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from isthmus.app.product.parts import Part
from isthmus.app.product.record import PartRecord
from isthmus.app.product.supervisor import Supervisor
from isthmus.app.upconfig import read_up_config
from isthmus.faces.cli.streams import bearing


class Printed:
    def said(self, part: str, line: str) -> None:
        print(f"SAID {part} {line}", flush=True)

    def stands(self, record: PartRecord) -> None:
        print(f"{record.state.replace(' ', '-').upper()} {record.name} {record.pid} {record.address}", flush=True)


def main(toml: Path, words: list[str]) -> int:
    parts, programs = [], {}
    for word in words:
        name, _, code = word.partition("=")
        plain = name.rstrip("!~")
        parts.append(Part(plain, (), "a test", tells="!" in name, every_s=0.05 if "~" in name else 0))
        programs[plain] = code

    def command(part: Part) -> list[str]:
        return [sys.executable, "-c", programs[part.name]]

    return Supervisor(read_up_config(toml), parts, Printed(), command=command).run()


if __name__ == "__main__":
    sys.stdout = bearing(sys.stdout)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
