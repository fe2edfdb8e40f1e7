"""Bringing a device's galleries up to date with the difference alone, over a channel of messages."""
