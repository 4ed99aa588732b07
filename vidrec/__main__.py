"""``python -m vidrec`` is ``vidrec``."""

from vidrec.cli import main

main()
