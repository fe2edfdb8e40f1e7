"""The part in C; `entropy` says what it is for."""

def end(data: bytes, start: int, /) -> int: ...
def table(counts: bytes, symbols: bytes, ac: bool, /) -> bytes | None: ...
def grey(
    data: bytes,
    start: int,
    end: int,
    tables: bytes,
    blocks: bytes,
    mcus: tuple[int, int],
    interval: int,
    sampling: tuple[int, int],
    quantum: int,
    size: tuple[int, int],
    /,
) -> bytes | None: ...
