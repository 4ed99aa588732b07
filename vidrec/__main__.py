"""Where ``vidrec`` and ``python -m vidrec`` begin."""

import sys


def main() -> None:
    """Run the command line; an interrupt while it is still being imported is one, too."""
    try:
        from vidrec.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
