"""Recommend videos for a text, a clip or a picture."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidrec import display
from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    OutputFormat,
    StoreName,
    Where,
    settings_for,
)
from vidrec.display import (
    Format,
    escaped,
    moment,
    note,
    show_json,
    show_lines,
    show_table,
)
from vidrec.errors import NoConfidentMatch, PartialFailure, UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.search.session import Answer
    from vidrec.types import Recommendation


def recommend(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            help="A text, a video, an image, the name or id:… of a video of the library, or #2 of "
            "the last answer.",
            show_default=False,
        ),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            help="Like this, too: as a query, with a weight if wished (2:a city at night); "
            "may be repeated.",
            metavar="QUERY",
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(help="Not like this; may be repeated.", metavar="QUERY"),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many results.")] = 10,
    embedder: EmbedderName = None,
    store: StoreName = None,
    clips: Annotated[
        bool,
        typer.Option(
            "--clips",
            help="Rank moments: a video may appear more than once; neighbouring clips that match "
            "are one.",
        ),
    ] = False,
    pool: Annotated[
        str, typer.Option(help="Of several likes: one taste (mean), or each by itself (max).")
    ] = "mean",
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="0: the nearest, 1: the most various.")
    ] = 0.0,
    max_per: Annotated[
        list[str] | None,
        typer.Option(
            help="At most N with the same label, group, folder or other field; may be repeated.",
            metavar="KEY=N",
        ),
    ] = None,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Of near copies show the best one.")
    ] = False,
    history: Annotated[
        Path | None,
        typer.Option(
            help="Leave out what was watched: a file of ids, names or JSON lines.",
            show_default=False,
        ),
    ] = None,
    like_history: Annotated[
        bool, typer.Option("--like-history", help="Like the latest 50 of the history, too.")
    ] = False,
    scope: Annotated[
        str,
        typer.Option(help="Rank a video by its best clip, as a whole (video), or by the best."),
    ] = "clip",
    where: Where = None,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out lower scores.", show_default=False)
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Exit 3 if the best has less; 0: never.", show_default="0.25"
        ),
    ] = None,
    all_videos: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a query: write each video's nearest to a .jsonl or .parquet file.",
            show_default=False,
        ),
    ] = None,
    save_clips: Annotated[
        Path | None,
        typer.Option(help="Cut the moments into a folder, from keyframes on.", show_default=False),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="With --save-clips: cut exactly; encodes again, without sound."
        ),
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Draw a contact sheet: a .png or .html file.", show_default=False),
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
    from vidrec.search.conditions import parse_conditions
    from vidrec.search.history import read_history
    from vidrec.search.last import keep_last, named
    from vidrec.search.playable import playable
    from vidrec.search.query import Query, parse_parts
    from vidrec.search.session import open_session

    wished = display.choose_format(format)
    settings = settings_for(
        embedder__name=embedder,
        embedder__min_confidence=min_confidence,
        store__name=store,
        resnet__checkpoint=checkpoint,
        library=library,
    )
    if all_videos is not None:
        _all_videos(settings, all_videos, top_k, scope)
        return
    asked = Query(
        parse_parts(
            *([named(settings.library, word) for word in words or []]
              for words in (query, like, unlike)),
            may_be_none=like_history,
        ),
        k=top_k, clips=clips, conditions=parse_conditions(where or []), min_score=min_score,
        scope=scope, pool=pool, diversity=diversity, max_per=_caps(max_per or []),  # type: ignore[arg-type]
        dedupe=dedupe, history=read_history(history) if history else (), like_history=like_history,
    )  # fmt: skip
    with open_session(settings) as session:
        answer = session.recommend(asked)
    if not answer.confident:
        hint = "; --min-confidence 0 shows it" if answer.results else ""
        raise NoConfidentMatch(f"{answer.reason}{hint}")
    keep_last(settings.library, answer)
    if sheet is not None:
        from vidrec.search.sheet import write_sheet

        write_sheet(answer, sheet)
        note(f"wrote {sheet}")
    show_recommended(playable(settings, answer, url_expires), wished)
    if save_clips is not None:
        _save_clips(answer, save_clips, exact=exact)


def _all_videos(settings: Settings, target: Path, k: int, scope: str) -> None:
    import sys

    from vidrec.search.session import open_session
    from vidrec.search.tables import write_all_nearest

    with open_session(settings) as session:
        out = sys.stdout.buffer
        count = write_all_nearest(session, target, out, k, scope, display.Bar())
    note(f"wrote the nearest of {display.count(count, 'video')} to {target}")


def _save_clips(answer: Answer, folder: Path, *, exact: bool) -> None:
    from vidrec.search.clips import save_clips

    failed = 0
    for _, saved in save_clips(answer, folder, exact=exact):
        if isinstance(saved, Path):
            note(f"wrote {saved}")
        else:
            failed += 1
            note(f"skipping {saved}")
    if failed:
        raise typer.Exit(PartialFailure.exit_code)


def _caps(wished: list[str]) -> tuple[tuple[str, int], ...]:
    caps = []
    for cap in wished:
        key, _, count = cap.partition("=")
        if not key or not count.strip().isdecimal():
            raise UsageError(f"--max-per takes a field and a number: label=2. Received: {cap}")
        caps.append((key.strip(), int(count)))
    return tuple(caps)


def show_recommended(answer: Answer, wished: Format) -> None:
    """Write the results of a query."""
    match wished:
        case Format.json:
            head = {"query": answer.query, "embedder": answer.embedder, "store": answer.store}
            rows = [asdict(row) for row in answer.results]
            show_json({**head, "results": rows})
        case Format.paths:
            for row in answer.results:
                if not row.gone and (place := row.path or row.url):
                    print(place)
        case Format.table:
            _recommended_table(answer)
        case _:
            show_lines(asdict(row) for row in answer.results)
    for remark in answer.notes:
        note(f"note: {remark}")
    if gone := sum(row.gone for row in answer.results):
        left = ", left out here" if wished is Format.paths else ""
        note(f"note: files that are gone: {gone}{left}; `vidrec remove --missing` forgets them")
    if answer.paid_minutes:
        note(f"note: {answer.paid_minutes:.1f} minutes of footage were paid for to ask with")
    if answer.unindexed:
        from vidrec.stores.base import index_command

        again = index_command(answer.store, answer.embedder.partition(":")[0])
        note(f"note: the library has changed since it was indexed: run `{again}`")


def _recommended_table(answer: Answer) -> None:
    labelled = any(row.label for row in answer.results)
    sure = any(row.confidence is not None for row in answer.results)
    columns = [
        "#", "id", "score", *(["confidence"] if sure else []), "video", "best moment", "length",
        *(["label"] if labelled else []),
    ]  # fmt: skip
    rows = [
        [
            str(row.rank),
            row.video_id[:8],
            f"{row.score:.3f}",
            *([_share(row.confidence)] if sure else []),
            _linked(row) + (" (gone)" if row.gone else ""),
            f"{moment(row.start_sec)}–{moment(row.end_sec)}",
            moment(row.duration_sec),
            *([escaped(row.label or "")] if labelled else []),
        ]
        for row in answer.results
    ]
    show_table(columns, rows, right=("#", "score", "confidence", "best moment", "length"))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _linked(row: Recommendation) -> str:
    """The file name, clickable where the terminal can."""
    name = escaped(row.filename)
    path = Path(row.path) if row.path else None
    # An imported path may be relative, or of another system: nothing can be opened there.
    target = path.as_uri() if path is not None and path.is_absolute() else row.url
    return f"[link={target}]{name}[/link]" if target and "]" not in target else name
