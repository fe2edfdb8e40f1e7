"""`python -m isthmus` and the command `isthmus`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from isthmus.faces.cli.main import run
        from isthmus.faces.cli.sparing import spare
    except KeyboardInterrupt:  # ctrl-C before there is anything to end
        sys.exit(130)
    spare(sys.argv[1:])
    code = run(sys.argv[1:])
    exec("")  # ctrl-C that fell into code of a string (dataclass makes such) would end `python -m` by the signal
    sys.exit(code)


if __name__ == "__main__":  # spawned workers import this module and must not start the program anew
    main()
