"""Serve the page and its API."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from vidrec.commands.options import PaidQuestions, command, flag, sets
from vidrec.display import note

if TYPE_CHECKING:
    from vidrec.config import Settings


@command(
    "embedder", "store", "checkpoint", "library",
    lazy=True,
    host=sets(
        "serve.host", str, "Address to listen on; any but this machine's own needs a token.",
        show_default="127.0.0.1",
    ),
    port=sets(
        "serve.port", int, "Port to listen on; 0: any free one.",
        min=0, max=65535, show_default="8765",
    ),
    token=sets(
        "serve.token", str, "Token that clients must send; `new` makes one. Safer in "
        "VIDREC_SERVE_TOKEN.",
    ),
    root_path=sets(
        "serve.root_path", str, 'Path under which a reverse proxy has the page: "/vidrec".'
    ),
)  # fmt: skip
def serve(
    settings: Callable[[], Settings],
    open_: bool = flag("Open the page in a browser.", "--open"),
    allow_paid: PaidQuestions = 0,
) -> None:
    """Serve the page and the API that play what is recommended.

    Example: vidrec serve --open
    """
    from vidrec.serve.thrift import rest_soon

    rest_soon()
    from vidrec.serve.run import serve as stage

    read = settings()
    made = bool(read.serve.token and read.serve.token.get_secret_value() == "new")
    if made:
        import secrets

        from pydantic import SecretStr

        read.serve.token = SecretStr(secrets.token_urlsafe(24))
    token = read.serve.token.get_secret_value() if read.serve.token else None

    def ready(address: str) -> None:
        link = f"{address}?token={token}" if token else address
        note(f"the page is at {address} (Ctrl-C ends it)")
        if made:  # for this terminal alone: what is noted may be written to a log
            print(f"the link that lets in: {link}", file=sys.stderr, flush=True)
        if not token and read.serve.allowed_hosts:
            note("note: there is no token: whoever reaches it under its names may ask")
        if open_:
            import webbrowser

            webbrowser.open(link)

    stage(read, ready, allow_paid)
