"""Tools for agents (the Model Context Protocol): the session, read-only, over stdin and stdout.

A tool is asked with texts, ids and conditions, never with a path, so that nothing but the videos of
the library can be named. What would have to be paid for is refused, unless so many questions are
allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field, ValidationError

from vidrec import __version__
from vidrec.errors import VidrecError
from vidrec.library.videos import Listed
from vidrec.search.answers import document
from vidrec.search.session import Session
from vidrec.serve.models import Asked, Count, Share, Text, Wish
from vidrec.serve.paid import Purse
from vidrec.serve.parts import check_ids, query_of
from vidrec.serve.problems import Problem

INSTRUCTIONS = (
    "Finds videos of one library by what is in them. Ask `recommend` with a mood, a scene or a "
    "genre; `confident` says whether anything fits. Times are seconds from a video's beginning."
)
READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
# A user's own fields come with each video, and `path` or `url` says where it lies.
Conditions = Annotated[
    list[str], Field(description="all must hold: label=Space, duration_sec<60, year>=2000 …")
]
Likes = Annotated[list[str], Field(description="texts, or id:… of videos of the library")]
Answer = dict[str, Any]
Tool = TypeVar("Tool", bound=Callable[..., Answer])


def agent_server(session: Session, paid: int = 0) -> MCPServer:
    """Return the server; ``run`` it."""
    server = MCPServer(
        "vidrec", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    purse = Purse(paid)

    def tool(function: Tool) -> Tool:
        @wraps(function)
        def asked(*values: Any, **named: Any) -> Answer:
            try:
                return function(*values, **named)
            except (VidrecError, Problem) as exc:
                raise ToolError(str(exc)) from exc
            except ValidationError as exc:
                raise ToolError(exc.errors()[0]["msg"]) from exc

        server.tool(annotations=READS)(asked)
        return function

    def answer(asked: Asked) -> Answer:
        query = check_ids(session.library, session.fingerprint, query_of(asked))
        purse.pay_for(session, query.parts, 0)
        found = document(session.recommend(query))
        fields = session.library.fields_of([row["video_id"] for row in found["results"]])
        for row in found["results"]:
            row["fields"] = fields.get(row["video_id"], {})
        return found

    @tool
    def recommend(
        query: Text = "", like: Likes = [], unlike: Likes = [], where: Conditions = [],  # noqa: B006
        k: Count = 10, diversity: Share = 0.0, moments: bool = False, why: bool = False,
    ) -> Answer:  # fmt: skip
        """Recommend videos for a text and for what is liked and disliked, the best first.

        With `moments` a video may come more than once; `why` tells what each part gave and what is
        seen. Where nothing is confident the nearest come all the same.
        """
        wishes: Mapping[str, Any] = {"like": like, "unlike": unlike, "where": where}
        asked = Asked(q=query, k=k, diversity=diversity, clips=moments, why=why, **wishes)
        return answer(asked)

    @tool
    def similar(video_id: str, k: Count = 10) -> Answer:
        """Recommend what is like a video of the library."""
        return answer(Asked(like=[Wish(id=video_id.removeprefix("id:"))], k=k, all=True))

    @tool
    def list_videos(
        text: Text = "", label: str | None = None, offset: int = 0, limit: Count = 50
    ) -> Answer:
        """List videos by name: all, or those with a label or with a text in their name."""
        page = session.library.page_of_videos(max(0, offset), limit, label=label, text=text)
        fields = session.library.fields_of([listed.video.id for listed in page[1]])
        rows = [_video(listed, fields.get(listed.video.id, {})) for listed in page[1]]
        return {"total": page[0], "videos": rows}

    @tool
    def status() -> Answer:
        """Tell how many videos there are, their labels and fields, and what can be asked."""
        library = session.library
        return {
            "videos": library.count_videos(), "indexed": session.store.count(),
            "labels": dict(library.label_counts()), "fields": library.field_values(20),
            "embedder": session.fingerprint, "store": session.store.name,
        }  # fmt: skip

    return server


def _video(listed: Listed, fields: Mapping[str, Any]) -> Answer:
    video = listed.video
    return {
        "video_id": video.id, "filename": video.filename, "label": video.label,
        "path": str(video.path) if video.path else None, "url": video.url,
        "duration_sec": video.duration_sec, "fields": dict(fields),
    }  # fmt: skip
