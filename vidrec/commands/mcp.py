"""Serve agents over stdin and stdout."""

from __future__ import annotations

from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    PaidQuestions,
    StoreName,
    settings_for,
)


def mcp(
    allow_paid: PaidQuestions = 0,
    embedder: EmbedderName = None,
    checkpoint: CheckpointFolder = None,
    store: StoreName = None,
    library: Library = None,
) -> None:
    """Let agents search the library: tools over stdin and stdout (MCP).

    Example: vidrec mcp --library my-library
    """
    from vidrec.search.session import Session
    from vidrec.serve.agents import agent_server

    settings = settings_for(
        embedder__name=embedder, store__name=store, resnet__checkpoint=checkpoint, library=library
    )
    with Session(settings) as session:
        agent_server(session, allow_paid).run()
