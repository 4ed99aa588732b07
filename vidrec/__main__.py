"""Where ``vidrec`` and ``python -m vidrec`` begin."""

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

# Slots of the frame that all others lie above; see below.
_ROOM = 1 << 15


def main() -> None:
    """Run the command line; an interrupt while it is still being imported is one, too."""
    _occupy_closed_streams()
    # Plug-ins of pydantic are looked for among all installed packages: there is none of use here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from vidrec.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as exc:
        _leave(exc.code)


# Python keeps frames in chunks of 16 kB and returns one to the system whenever the last frame in it
# ends. Imports come and go across such an edge thousands of times, a tenth of a query's time. For
# a frame that asks for more a larger chunk is made, and all that it calls finds room in it.
main.__code__ = main.__code__.replace(co_stacksize=_ROOM)


def _leave(code: object) -> NoReturn:
    """End without taking apart all that was imported: a twentieth of a query's time.

    Whatever else is to be done at the end is done; where a thread is still to be waited for, the
    end is the usual one.
    """
    waited_for = [t for t in threading.enumerate() if not t.daemon]
    if isinstance(code, int) and waited_for == [threading.main_thread()]:
        atexit._run_exitfuncs()
        for stream in (sys.__stdout__, sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads on
                if stream is not None:
                    stream.flush()
        os._exit(code)
    sys.exit(code)  # type: ignore[arg-type]


def _occupy_closed_streams() -> None:
    """Let no file that is opened later become stdin, stdout or stderr, where one is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


if __name__ == "__main__":
    main()
