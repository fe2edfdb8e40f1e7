"""A gatekeeper as bad as any: it loses, repeats, reorders, truncates, flips bits, renames, shows files growing."""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.transfer.memory import MemoryCarrier


def flipped(content: bytes, bit: int) -> bytes:
    """Return content with one bit turned over."""
    if not content:
        return b"\1"
    at = bit // 8 % len(content)
    return content[:at] + bytes([content[at] ^ 1 << bit % 8]) + content[at + 1 :]


@dataclass
class RoughGate:
    """Between the two ends of a gate. It remembers all that ever lay inside, and carries what it is told to."""

    inside: MemoryCarrier
    outside: MemoryCarrier
    known: list[tuple[str, bytes]] = field(default_factory=list)

    def look(self) -> None:
        """Take note of what lies inside."""
        for name in self.inside.names():
            one = name, self.inside.files[name]
            if one not in self.known:
                self.known.append(one)

    def carry(self, number: int) -> None:
        """Carry one file that ever lay inside: late, again, or out of order."""
        if self.known:
            self.outside.hold(*self.known[number % len(self.known)])

    def cut_off(self, number: int, size: int) -> None:
        """Carry the beginning of a file."""
        if self.known:
            name, content = self.known[number % len(self.known)]
            self.outside.hold(name, content[: size % (len(content) + 1)])

    def flip(self, number: int, bit: int) -> None:
        """Carry a file with one bit turned over."""
        if self.known:
            name, content = self.known[number % len(self.known)]
            self.outside.hold(name, flipped(content, bit))

    def rename(self, number: int, other: int) -> None:
        """Carry a file under the name of another."""
        if self.known:
            self.outside.hold(self.known[other % len(self.known)][0], self.known[number % len(self.known)][1])

    def lose(self, number: int) -> None:
        """Remove a file that has arrived."""
        names = self.outside.names()
        if names:
            self.outside.drop(names[number % len(names)])
