"""A standby in a process of its own, which kills itself (-9) at a named step.

    python tests/recovery_standby_process.py <folder> <signer> <step> <act>

`<step>` is `name` or `name#n` for its n-th time; `-` kills never. `<act>`: `take` takes in what lies in the gate,
and tidies up; `rewind` makes the tables ready to be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gate_process import killer
from isthmus.transfer.signing import PublicKey
from recovery_standby import Standby


def main(folder: str, signer: str, at: str, act: str) -> None:
    """Do one turn."""
    standby = Standby(Path(folder), PublicKey.of_text(signer), killer(at), grace_s=0.0)
    if act == "rewind":
        standby.landing.holding.rewind()
        return
    standby.take()
    standby.landing.tidy()


if __name__ == "__main__":
    main(*sys.argv[1:])
