"""`python -m isthmus` and the command `isthmus`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from isthmus.faces.cli.main import run
    from isthmus.faces.cli.sparing import spare

    spare(sys.argv[1:])
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":  # spawned workers import this module and must not start the program anew
    main()
