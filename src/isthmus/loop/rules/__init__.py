"""Rules: named conditions on scenes, read from catalogues and compiled for an engine."""
