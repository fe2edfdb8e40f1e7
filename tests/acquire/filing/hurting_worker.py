"""A worker of filing whose decoder dies of some contents, as a real one might: they say how in their padding."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from datetime import UTC, datetime

from isthmus.acquire.failure import Failure
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.work import Examiner, Seen
from isthmus.acquire.filing.worker import main
from isthmus.acquire.image import Arrived


class Hurting(Examiner):
    def look(self, arrived: Arrived) -> Seen | Failure:
        record = arrived.wish.record
        if record == "segfault":
            ctypes.string_at(0)
        if record == "abort":
            os.abort()
        if record == "hang":
            time.sleep(3600)
        if record == "eat":
            hoard = [bytearray(1 << 30) for _ in range(64)]
            return Failure.__new__(Failure) if hoard else super().look(arrived)
        if record.startswith("killed-once"):
            flag = os.environ["HURTING_FLAG"]
            if not os.path.exists(flag):  # noqa: PTH110
                open(flag, "w").close()  # noqa: PTH123
                os.kill(os.getpid(), signal.SIGKILL)
        return super().look(arrived)


if __name__ == "__main__":
    main(Hurting(FilingRules("/nowhere"), lambda latitude, longitude: None, lambda: datetime.now(UTC)))
