"""One SQLite file per site: the durable state of every long operation."""
