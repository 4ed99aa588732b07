"""Serve agents over stdin and stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrec.commands.options import PaidQuestions, command

if TYPE_CHECKING:
    from vidrec.config import Settings


@command("embedder", "store", "checkpoint", "library")
def mcp(settings: Settings, allow_paid: PaidQuestions = 0) -> None:
    """Let agents search the library: tools over stdin and stdout (MCP).

    Example: vidrec mcp --library my-library
    """
    from vidrec.search.session import Session
    from vidrec.serve.agents import agent_server

    with Session(settings) as session:
        agent_server(session, allow_paid).run()
