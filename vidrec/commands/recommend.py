"""Recommend videos for a text, a clip or a picture."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typer import Argument

from vidrec.commands import completion
from vidrec.commands.options import (
    OutputFormat,
    RankScope,
    Where,
    command,
    flag,
    leave,
    option,
    sets,
)
from vidrec.commands.recommended import left_behind, show_answers, show_recommended
from vidrec.commands.stdin import agrees, opened
from vidrec.display import Bar, asked_format, count, note
from vidrec.errors import NoConfidentMatch, UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.search.session import Answer


@command(
    "embedder", "store", "checkpoint", "library",
    option=sets(
        "marengo.option", str, "Marengo: what is searched, visual or audio; visual,audio: the "
        "better of both; visual=0.7,audio=0.3: a weighted sum.", show_default="visual",
    ),
    min_confidence=sets(
        "embedder.min_confidence", float, "Exit with code 3 if the best result has less "
        "confidence; 0: never.", min=0, max=1, show_default="0.25",
    ),
    allow_paid=sets("paid.queries", bool, "Pay without asking (marengo).", "--allow-paid"),
)  # fmt: skip
def recommend(
    settings: Settings,
    query: list[str] | None = Argument(
        None,
        help="A text, a video, an image, the name or id:… of a video in the library, or #2 of "
        "the last answer.",
        autocompletion=completion.videos,
    ),
    like: list[str] | None = option(
        "Also like this, with an optional weight (2:a city at night); may be repeated.",
        metavar="QUERY",
    ),
    unlike: list[str] | None = option("Not like this; may be repeated.", metavar="QUERY"),
    top_k: int = option("Show at most N results.", "--top-k", "-k", default=10),
    clips: bool = flag(
        "Rank moments instead of videos; neighbouring clips that match are one moment.", "--clips"
    ),
    pool: Literal["mean", "max"] = option(
        "Rank by the mean of several likes, or by the nearest of them (max).", default="mean"
    ),
    diversity: float = option(
        "From 0, the nearest results, to 1, the most diverse.", default=0.0, min=0, max=1
    ),
    max_per: list[str] | None = option(
        "Show at most N results with the same label, group, folder or other field; may "
        "be repeated.",
        metavar="KEY=N",
    ),
    dedupe: bool = flag("Show only the best of near copies.", "--dedupe"),
    history: Path | None = option(
        "Leave out videos that were watched: a file of ids, names or JSON lines."
    ),
    like_history: bool = flag("Also like the latest 50 videos of the history.", "--like-history"),
    scope: RankScope = "clip",
    where: Where = None,
    min_score: float | None = option("Leave out results with a lower score."),
    queries: Path | None = option(
        "Answer many queries in JSON lines: a file, or -, with one text per line, or one "
        "JSON object with an id and options by name (query, like, top_k, …)."
    ),
    why: bool = flag(
        "Explain each result: what each part of the query gave, where, and what is seen.", "--why"
    ),
    all_videos: Path | None = option(
        "Instead of a query: write the nearest of each video to a .jsonl or .parquet file."
    ),
    save_clips: Path | None = option(
        "Save the moments into a folder, each cut at the keyframe before it."
    ),
    exact: bool = flag(
        "With --save-clips: cut exactly; this encodes again, without sound.", "--exact"
    ),
    sheet: Path | None = option("Draw a contact sheet: a .png or .html file."),
    url_expires: int | None = option(
        "Presign the URLs of uploaded videos for N seconds.",
        min=1,
        show_default="3600 for videos that are not on this machine",
    ),
    format: OutputFormat = "auto",
) -> None:
    """Recommend videos for a text, a clip, an image or a video of the library.

    Example: vidrec recommend "sci-fi dark tone"
    """
    gc.set_threshold(20_000)  # a query makes little garbage: seldom look for it
    from vidrec.search.playable import Player
    from vidrec.search.wished import read_history

    _check_together(
        {"--queries": queries, "--all-videos": all_videos},
        {"QUERY": query, "--save-clips": save_clips, "--sheet": sheet},
    )
    if queries is not None and asked_format() not in ("auto", "jsonl"):
        raise UsageError("--queries answers in JSON lines: use --format jsonl")
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
        show_recommended(Player(settings, url_expires).playable(answer), format)
        if save_clips is not None:
            _save_clips(answer, save_clips, exact=exact)


def _check_together(many: Mapping[str, object], one: Mapping[str, object]) -> None:
    given = [name for name, value in many.items() if value]
    others = given[1:] + [name for name, value in one.items() if value]
    if given and others:
        raise UsageError(f"{given[0]} has queries of its own: leave out {others[0]}")


def _answer(settings: Settings, options: Mapping[str, Any]) -> Answer:
    from vidrec.stores import begin

    begin(settings)
    from vidrec.search.last import keep_last
    from vidrec.search.session import Session
    from vidrec.search.wished import wished

    asked = wished(options, settings.library)
    with Session(settings, _may_pay, note) as session:
        answer = session.recommend(asked)
    if not answer.confident:
        hint = "; --min-confidence 0 shows it" if answer.results else ""
        if answer.unindexed:
            hint += f"; {left_behind(answer)}"
        raise NoConfidentMatch(f"{answer.reason}{hint}")
    keep_last(settings.library, answer)
    return answer


def _batch(
    settings: Settings, source: Path, options: Mapping[str, Any], expires: int | None
) -> None:
    from vidrec.progress import finishing
    from vidrec.search.batch import answer_lines
    from vidrec.search.playable import Player
    from vidrec.search.session import Session

    bar, player = Bar(), Player(settings, expires)
    asked = failed = 0
    with opened(source) as file, Session(settings, say=bar.warn) as session, finishing(bar):
        bar.start("asking", None, "query")
        for some in answer_lines(session, file, options):
            failed += show_answers(some, player)
            asked += len(some)
            bar.step(len(some))
    if not asked:
        raise UsageError(f"{source} holds no query: a line is a text or a JSON object")
    note(f"queries answered: {asked - failed}; failed: {failed}")
    leave(failed=failed)


def _may_pay(words: str) -> bool:
    return agrees(f"{words[0].upper()}{words[1:]}. Pay?")


def _all_videos(settings: Settings, target: Path, k: int, scope: str) -> None:
    import sys

    from vidrec.search.session import Session
    from vidrec.search.tables import write_all_nearest

    with Session(settings) as session:
        out = sys.stdout.buffer
        asked = write_all_nearest(session, target, out, k, scope, Bar())
    note(f"wrote the nearest of {count(asked, 'video')} to {target}")


def _save_clips(answer: Answer, folder: Path, *, exact: bool) -> None:
    from vidrec.search.playable import save_clips

    failed = 0
    for saved in save_clips(answer, folder, exact=exact):
        if isinstance(saved, Path):
            note(f"wrote {saved}")
        else:
            failed += 1
            note(f"skipping {saved}")
    leave(failed=failed)
