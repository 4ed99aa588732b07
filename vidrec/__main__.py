"""Where ``vidrec`` and ``python -m vidrec`` begin."""

import os
import sys


def main() -> None:
    """Run the command line; an interrupt while it is still being imported is one, too."""
    _occupy_closed_streams()
    try:
        from vidrec.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def _occupy_closed_streams() -> None:
    """Let no file that is opened later become stdin, stdout or stderr, where one is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


if __name__ == "__main__":
    main()
