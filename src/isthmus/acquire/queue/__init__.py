"""The durable queue: one ledger of every request, in SQLite or PostgreSQL, and wakes that may get lost."""
