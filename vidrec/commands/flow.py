"""embed, index, recommend: the main job."""

from __future__ import annotations

import gc
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from vidrec import display, reports
from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    OutputFormat,
    StoreName,
    settings_for,
)
from vidrec.display import Format
from vidrec.errors import PartialFailure, UsageError


def embed(
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Videos, folders, or - for a list on stdin.", show_default=False),
    ] = None,
    embedder: EmbedderName = None,
    clip_seconds: Annotated[
        float | None, typer.Option(help="Wished length of a clip.", show_default="10")
    ] = None,
    label_from: Annotated[
        str | None,
        typer.Option(
            help="folder: label a video with its folder; none: do not. By default files below "
            "a folder that is named are labelled with theirs.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Embed at most so many videos.", show_default=False)
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Embed again what is done.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; embed nothing.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Videos in work at once.", show_default="one a processor"),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Pay for at most so much footage (marengo).", show_default=False),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Embed a fitting copy of what the service would refuse (marengo)."
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            help="Let the service fetch the video (url) or send it (asset) (marengo).",
            show_default="auto",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Jobs at once (marengo).", show_default="4")
    ] = None,
    rpm: Annotated[
        int | None,
        typer.Option(min=1, help="Requests a minute, at most (marengo).", show_default="60"),
    ] = None,
    checkpoint: CheckpointFolder = None,
    library: Library = None,
) -> None:
    """Embed videos into the library; what is done already is skipped.

    Example: vidrec embed ~/Videos
    """
    from vidrec.pipeline import embed as stage

    if label_from not in (None, "folder", "none"):
        raise UsageError(f"--label-from is folder or none. Received: {label_from}")
    settings = settings_for(
        embedder__name=embedder,
        embedder__clip_seconds=clip_seconds,
        embedder__workers=workers,
        resnet__checkpoint=checkpoint,
        marengo__source=source,
        marengo__jobs=jobs,
        marengo__rpm=rpm,
        library=library,
    )
    options = stage.EmbedOptions(
        limit=limit,
        retry_failed=retry_failed,
        force=force,
        label_from=label_from or "auto",  # type: ignore[arg-type]
        max_minutes=max_minutes,
        repair=repair,
    )
    sources = with_stdin(paths or [])
    if dry_run:
        from vidrec.pipeline.plan import plan

        reports.show_plan(plan(settings, sources, options))
        return
    report = stage.embed(settings, sources, options, display.Bar())
    reports.show_embed_report(report)
    if report.interrupted:
        raise typer.Exit(130)
    if report.failed:
        raise typer.Exit(PartialFailure.exit_code)


def with_stdin(paths: list[str]) -> list[str]:
    """Put the lines of stdin where a dash stands."""
    if "-" not in paths:
        return paths
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # names are bytes, whatever the encoding
    listed = [line.rstrip("\r\n") for line in sys.stdin]
    return [path for path in paths if path != "-"] + [line for line in listed if line.strip()]


def index(
    embedder: EmbedderName = None,
    store: StoreName = None,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Build all anew, then replace at once.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what the library no longer has.")
    ] = False,
    checkpoint: CheckpointFolder = None,
    library: Library = None,
) -> None:
    """Bring a store up to date with the library; no model is called.

    Example: vidrec index
    """
    from vidrec.pipeline.index import index as stage

    settings = settings_for(
        embedder__name=embedder,
        store__name=store,
        resnet__checkpoint=checkpoint,
        library=library,
    )
    gc.set_threshold(10_000)  # a batch's points are no garbage: rarely look through them
    report = stage(settings, recreate=recreate, prune=prune, progress=display.Bar())
    reports.show_index_report(report)


def recommend(
    query: Annotated[
        list[str], typer.Argument(help="A text, a video, an image, or id:… of a video.")
    ],
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many results.")] = 10,
    embedder: EmbedderName = None,
    store: StoreName = None,
    clips: Annotated[
        bool, typer.Option("--clips", help="Rank moments: a video may appear more than once.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only videos with this, as key=value; may be repeated.", metavar="K=V"),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out lower scores.", show_default=False)
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Exit 3 if the best has less; 0: never.", show_default="0.25"
        ),
    ] = None,
    url_expires: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Presign the URLs of uploaded videos for so many seconds.",
            show_default="3600 for videos that are not on this machine",
        ),
    ] = None,
    format: OutputFormat = Format.auto,
    checkpoint: CheckpointFolder = None,
    library: Library = None,
) -> None:
    """Recommend videos for a text, a clip, an image or a video of the library.

    Example: vidrec recommend "sci-fi dark tone"
    """
    from vidrec.pipeline.playable import playable
    from vidrec.pipeline.recommend import recommend as stage

    wished = display.choose_format(format)
    settings = settings_for(
        embedder__name=embedder,
        embedder__min_confidence=min_confidence,
        store__name=store,
        resnet__checkpoint=checkpoint,
        library=library,
    )
    conditions = _conditions(where or [])
    answer = stage(settings, query, k=top_k, clips=clips, where=conditions, min_score=min_score)
    reports.show_recommended(playable(settings, answer, url_expires), wished)


def _conditions(where: list[str]) -> dict[str, list[str]]:
    conditions: dict[str, list[str]] = {}
    for condition in where:
        key, equals, value = condition.partition("=")
        if not equals or not key:
            raise UsageError(f"--where takes key=value. Received: {condition}")
        conditions.setdefault(key.strip(), []).append(value.strip())
    return conditions
