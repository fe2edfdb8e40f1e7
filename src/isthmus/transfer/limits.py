"""How large a bundle may be, and what it claims to hold, before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps in bytes, counts and ratios. A bundle beyond one of them is not opened, and is not made either."""

    most_file_bytes: int = 32 * GIB
    """Of the whole file; of the plain format, of the bare file."""
    most_member_bytes: int = 64 * GIB
    """Of one member, unpacked."""
    most_members: int = 64
    most_header_bytes: int = 64 * KIB
    most_manifest_bytes: int = 64 * KIB
    most_ratio: int = 4096
    """How many bytes one packed byte may unpack to, in members of more than `ratio_free_bytes`."""
    ratio_free_bytes: int = 64 * MIB
    """Up to this unpacked size a member may be packed as tightly as it likes."""

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) < 0 or self.most_ratio < 1:
            raise ValueError(f"{self} has a negative limit")

    def allows_ratio(self, packed: int, unpacked: int) -> bool:
        """Tell whether a member of `packed` bytes may claim to unpack to `unpacked`."""
        return unpacked <= max(self.ratio_free_bytes, packed * self.most_ratio)


STANDARD = Limits()
"""The limits where the site's configuration sets none."""
