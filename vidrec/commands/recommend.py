"""Recommend videos for a text, a clip or a picture."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vidrec import display
from vidrec.commands import completion
from vidrec.commands.options import (
    AllowPaid,
    CheckpointFolder,
    EmbedderName,
    Library,
    OutputFormat,
    StoreName,
    Where,
    may_ask,
    opened,
    settings_for,
)
from vidrec.commands.recommended import show_answers, show_recommended
from vidrec.display import Format, note
from vidrec.errors import NoConfidentMatch, PartialFailure, UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.search.session import Answer


def recommend(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            help="A text, a video, an image, the name or id:… of a video in the library, or #2 of "
            "the last answer.",
            autocompletion=completion.videos,
            show_default=False,
        ),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            help="Also like this, with an optional weight (2:a city at night); may be repeated.",
            metavar="QUERY",
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(help="Not like this; may be repeated.", metavar="QUERY"),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="Show at most N results.")] = 10,
    embedder: EmbedderName = None,
    option: Annotated[
        str | None,
        typer.Option(
            help="Marengo: what is searched, visual or audio; visual,audio: the better of both; "
            "visual=0.7,audio=0.3: a weighted sum.",
            show_default="visual",
        ),
    ] = None,
    store: StoreName = None,
    clips: Annotated[
        bool,
        typer.Option(
            "--clips",
            help="Rank moments instead of videos; neighbouring clips that match are one moment.",
        ),
    ] = False,
    pool: Annotated[
        Literal["mean", "max"],
        typer.Option(help="Rank by the mean of several likes, or by the nearest of them (max)."),
    ] = "mean",
    diversity: Annotated[
        float,
        typer.Option(min=0, max=1, help="From 0, the nearest results, to 1, the most diverse."),
    ] = 0.0,
    max_per: Annotated[
        list[str] | None,
        typer.Option(
            help="Show at most N results with the same label, group, folder or other field; may "
            "be repeated.",
            metavar="KEY=N",
        ),
    ] = None,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Show only the best of near copies.")
    ] = False,
    history: Annotated[
        Path | None,
        typer.Option(
            help="Leave out videos that were watched: a file of ids, names or JSON lines.",
            show_default=False,
        ),
    ] = None,
    like_history: Annotated[
        bool, typer.Option("--like-history", help="Also like the latest 50 videos of the history.")
    ] = False,
    scope: Annotated[
        Literal["clip", "video", "best"],
        typer.Option(help="Rank a video by its best clip, as a whole, or by the better of both."),
    ] = "clip",
    where: Where = None,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out results with a lower score.", show_default=False)
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            show_default="0.25",
            help="Exit with code 3 if the best result has less confidence; 0: never.",
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            help="Answer many queries in JSON lines: a file, or -, with one text per line, or one "
            "JSON object with an id and options by name (query, like, top_k, …).",
            show_default=False,
        ),
    ] = None,
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Explain each result: what each part of the query gave, where, and what is seen.",
        ),
    ] = False,
    all_videos: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a query: write the nearest of each video to a .jsonl or .parquet "
            "file.",
            show_default=False,
        ),
    ] = None,
    save_clips: Annotated[
        Path | None,
        typer.Option(
            help="Save the moments into a folder, each cut at the keyframe before it.",
            show_default=False,
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="With --save-clips: cut exactly; this encodes again, without sound."
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
            help="Presign the URLs of uploaded videos for N seconds.",
            show_default="3600 for videos that are not on this machine",
        ),
    ] = None,
    allow_paid: AllowPaid = False,
    format: OutputFormat = Format.auto,
    checkpoint: CheckpointFolder = None,
    library: Library = None,
) -> None:
    """Recommend videos for a text, a clip, an image or a video of the library.

    Example: vidrec recommend "sci-fi dark tone"
    """
    gc.set_threshold(20_000)  # a query makes little garbage: seldom look for it
    from vidrec.search.history import read_history
    from vidrec.search.playable import Player

    _check_together(
        {"--queries": queries, "--all-videos": all_videos},
        {"QUERY": query, "--save-clips": save_clips, "--sheet": sheet},
    )
    if queries is not None and format not in (Format.auto, Format.jsonl):
        raise UsageError("--queries answers in JSON lines: use --format jsonl")
    wished = display.choose_format(Format.jsonl if queries is not None else format)
    settings = settings_for(
        embedder__name=embedder,
        marengo__option=option,
        embedder__min_confidence=min_confidence,
        store__name=store,
        resnet__checkpoint=checkpoint,
        paid__queries=allow_paid or None,
        library=library,
    )
    options = {
        "query": query, "like": like, "unlike": unlike, "top_k": top_k, "clips": clips,
        "pool": pool, "diversity": diversity, "max_per": max_per, "dedupe": dedupe,
        "history": list(read_history(history)) if history else None, "like_history": like_history,
        "scope": scope, "where": where, "min_score": min_score, "why": why,
    }  # fmt: skip
    if queries is not None:
        _batch(settings, queries, options, url_expires)
    elif all_videos is not None:
        _all_videos(settings, all_videos, top_k, scope)
    else:
        answer = _answer(settings, options)
        if sheet is not None:
            from vidrec.search.sheet import write_sheet

            write_sheet(answer, sheet)
            note(f"wrote {sheet}")
        show_recommended(Player(settings, url_expires).playable(answer), wished)
        if save_clips is not None:
            _save_clips(answer, save_clips, exact=exact)


def _check_together(many: Mapping[str, object], one: Mapping[str, object]) -> None:
    given = [name for name, value in many.items() if value]
    others = given[1:] + [name for name, value in one.items() if value]
    if given and others:
        raise UsageError(f"{given[0]} has queries of its own: leave out {others[0]}")


def _answer(settings: Settings, options: Mapping[str, Any]) -> Answer:
    from vidrec.search.last import keep_last
    from vidrec.search.session import open_session
    from vidrec.search.wished import wished

    asked = wished(options, settings.library)
    with open_session(settings, _may_pay, note) as session:
        answer = session.recommend(asked)
    if not answer.confident:
        hint = "; --min-confidence 0 shows it" if answer.results else ""
        if answer.unindexed:
            from vidrec.stores.base import index_command

            again = index_command(answer.store, answer.embedder.partition(":")[0])
            hint += f"; the library has changed since it was indexed: run `{again}`"
        raise NoConfidentMatch(f"{answer.reason}{hint}")
    keep_last(settings.library, answer)
    return answer


def _batch(
    settings: Settings, source: Path, options: Mapping[str, Any], expires: int | None
) -> None:
    from vidrec.progress import finishing
    from vidrec.search.batch import answer_lines
    from vidrec.search.playable import Player
    from vidrec.search.session import open_session

    bar, player = display.Bar(), Player(settings, expires)
    asked = failed = 0
    with opened(source) as file, open_session(settings, say=bar.warn) as session, finishing(bar):
        bar.start("asking", None, "query")
        for some in answer_lines(session, file, options):
            failed += show_answers(some, player)
            asked += len(some)
            bar.step(len(some))
    if not asked:
        raise UsageError(f"{source} holds no query: a line is a text or a JSON object")
    note(f"queries answered: {asked - failed}; failed: {failed}")
    if failed:
        raise typer.Exit(PartialFailure.exit_code)


def _may_pay(words: str) -> bool:
    """Ask whoever sits there; nobody says no."""
    return may_ask() and typer.confirm(f"{words[0].upper()}{words[1:]}. Pay?", err=True)


def _all_videos(
    settings: Settings, target: Path, k: int, scope: Literal["clip", "video", "best"]
) -> None:
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
