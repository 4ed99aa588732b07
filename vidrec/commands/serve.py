"""Serve the page and its API."""

from __future__ import annotations

import sys

from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    PaidQuestions,
    StoreName,
    flag,
    option,
    settings_for,
)
from vidrec.display import note


def serve(
    host: str | None = option(
        "Address to listen on; any but this machine's own needs a token.", show_default="127.0.0.1"
    ),
    port: int | None = option(
        "Port to listen on; 0: any free one.", min=0, max=65535, show_default="8765"
    ),
    open_: bool = flag("Open the page in a browser.", "--open"),
    token: str | None = option(
        "Token that clients must send; `new` makes one. Safer in VIDREC_SERVE_TOKEN."
    ),
    root_path: str | None = option('Path under which a reverse proxy has the page: "/vidrec".'),
    allow_paid: PaidQuestions = 0,
    embedder: EmbedderName = None,
    checkpoint: CheckpointFolder = None,
    store: StoreName = None,
    library: Library = None,
) -> None:
    """Serve the page and the API that play what is recommended.

    Example: vidrec serve --open
    """
    from vidrec.serve.thrift import rest_soon

    rest_soon()
    from vidrec.serve.app import Options
    from vidrec.serve.run import serve as stage

    made = token == "new"
    if made:
        import secrets

        token = secrets.token_urlsafe(24)
    settings = settings_for(
        serve__host=host,
        serve__port=port,
        serve__token=token,
        serve__root_path=root_path,
        embedder__name=embedder,
        resnet__checkpoint=checkpoint,
        store__name=store,
        library=library,
    )
    secret = settings.serve.token
    options = Options(
        settings.serve.host, secret.get_secret_value() if secret else None, allow_paid
    )

    def ready(address: str) -> None:
        link = f"{address}?token={options.token}" if options.token else address
        note(f"the page is at {address} (Ctrl-C ends it)")
        if made:  # for this terminal alone: what is noted may be written to a log
            print(f"the link that lets in: {link}", file=sys.stderr, flush=True)
        if not options.token and settings.serve.allowed_hosts:
            note("note: there is no token: whoever reaches it under its names may ask")
        if open_:
            import webbrowser

            webbrowser.open(link)

    stage(settings, options, settings.serve.port, ready)
