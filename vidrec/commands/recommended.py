"""Write what was recommended: a table, JSON, or paths."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.display import Format, error_of, moment, note, show_data, show_lines, show_table
from vidrec.errors import VidrecError
from vidrec.table import Cell, telling_folders

if TYPE_CHECKING:
    from vidrec.search.answers import Answer
    from vidrec.search.batch import Answered
    from vidrec.search.playable import Player
    from vidrec.types import Recommendation


def show_recommended(answer: Answer, wished: Format) -> None:
    """Write the results of a query."""
    from vidrec.search.answers import document, fields_of

    if wished == "paths":
        for row in answer.results:
            if not row.gone and (place := row.path or row.url):
                print(place)
    elif not show_data(wished, document(answer), map(fields_of, answer.results)):
        _recommended_table(answer)
    for part in answer.why or ():
        if said := _understood(part):
            note(said)
    for remark in answer.notes:
        note(f"note: {remark}")
    if gone := sum(row.gone for row in answer.results):
        left = ", left out here" if wished == "paths" else ""
        note(f"note: files that are gone: {gone}{left}; `vidrec remove --missing` forgets them")
    if answer.paid_minutes:
        note(f"note: {answer.paid_minutes:.2f} minutes of footage were paid for to ask with")
    if answer.unindexed:
        note(f"note: {left_behind(answer)}")


def left_behind(answer: Answer) -> str:
    """Say that the library holds more than the store, and how to mend that."""
    from vidrec.stores.base import index_command

    again = index_command(answer.store, answer.embedder.partition(":")[0])
    return f"the library has changed since it was indexed: run `{again}`"


def show_answers(answered: Sequence[Answered], player: Player) -> int:
    """Write the answers to some queries of many, a JSON object each; return how many failed."""
    from vidrec.search.answers import document

    rows: list[dict[str, Any]] = []
    failed = 0
    for one in answered:
        if isinstance(one.answer, VidrecError):
            failed += 1
            rows.append({"id": one.id, **error_of(one.answer)})
        else:
            rows.append({"id": one.id, **document(player.playable(one.answer))})
    show_lines(rows)
    sys.stdout.flush()  # who wrote these queries may wait for them
    return failed


def _understood(part: Mapping[str, Any]) -> str:
    """Say how a text was understood, where there is anything to say."""
    said = [f"near {', '.join(near['word'] for near in part['near'])}"] if part["near"] else []
    said += [f"tone: {part['tone']}"] if part["tone"] else []
    return f"why: {part['part']}: {'; '.join(said)}" if said else ""


def _recommended_table(answer: Answer) -> None:
    sure = any(row.confidence is not None for row in answer.results)
    folders = telling_folders(
        [row.filename for row in answer.results], [row.path or row.url for row in answer.results]
    )
    rows = [
        {"#": str(row.rank), "id": row.video_id[:8], "score": f"{row.score:.3f}",
         "conf.": _share(row.confidence) if sure else "", "video": _linked(row), "folder": folder,
         "moment": f"{moment(row.start_sec)}–{moment(row.end_sec)}",
         "length": moment(row.duration_sec), "label": row.label or ""}
        for row, folder in zip(answer.results, folders, strict=True)
    ]  # fmt: skip
    right = ("#", "score", "conf.", "moment", "length")
    why = [_why(row) for row in answer.results]
    under = why if any(why) else ()
    show_table(rows, right=right, spare=("length", "id"), under=under)


def _why(row: Recommendation) -> list[str]:
    """Tell a result's reasons in short lines: what each part gave, then what is seen."""
    from vidrec.search.answers import seen_in

    lines = []
    parts = (row.why or {}).get("parts", ())
    for part in parts:
        of = ", ".join(f"{name} {share:+.2f}" for name, share in part["of"].items())
        name = f"{part['part']} " if len(parts) > 1 else ""
        when = moment(part["moments"][0]["start_sec"])
        lines.append(f"{name}{part['gave']:+.2f} at {when}" + (f" ({of})" if of else ""))
    if seen := seen_in(row, words=3):
        lines.append(f"seen: {seen}")
    return lines


def _share(value: float | None) -> Cell:
    if value is None:
        return Cell("–")
    return Cell(f"{value:.2f}", "green" if value >= 0.7 else "yellow" if value >= 0.4 else "red")


def _linked(row: Recommendation) -> Cell:
    """The file name, clickable where the terminal can."""
    path = Path(row.path) if row.path else None
    # An imported path may be relative, or of another system: nothing can be opened there.
    target = path.as_uri() if path is not None and path.is_absolute() else row.url
    return Cell(row.filename + (" (gone)" if row.gone else ""), link=target or "")
