"""Sheet: an answer to look at: a row a result, with pictures of its moment and what is known."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.errors import StorageError, UsageError, VidrecError
from vidrec.files import is_file, writing
from vidrec.search.answers import Answer, seen_in
from vidrec.types import Recommendation
from vidrec.wording import count, moment

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PICTURES = 5  # a row
WIDE, HIGH = 256, 144  # of a picture, in pixels
GAP, EDGE, TEXT = 8, 40, 300
TITLE = 96
ROW = HIGH + 30
INK, PALE, FAINT, GROUND, CARD = "#f4f1ea", "#a8a399", "#4a4742", "#171614", "#211f1c"
SURE, UNSURE = "#7fb685", "#d9a441"
BACKS = {".png", ".html"}


def write_sheet(answer: Answer, target: Path) -> None:
    """Draw a contact sheet of an answer, as a ``.png`` or ``.html`` file that stands alone.

    Raises:
        UsageError: the file's name ends otherwise.
        StorageError: it cannot be written.
    """
    kind = target.suffix.lower()
    if kind not in BACKS:
        raise UsageError(f"--sheet takes a .png or an .html file. Received: {target}")
    rows = [(row, _pictures(row)) for row in answer.results]
    try:
        with writing(target, durable=False) as draft:
            if kind == ".png":
                _painted(answer, rows).save(draft, "PNG")
            else:
                draft.write_text(_page(answer, rows), encoding="utf-8", errors="replace")
    except OSError as exc:
        raise StorageError(f"cannot write {target}: {exc.strerror or exc}") from exc


Rows = Sequence[tuple[Recommendation, "list[Image | None]"]]


def _pictures(row: Recommendation) -> list[Image | None]:
    """Return pictures from all over the moment; None where there is none to be had."""
    from PIL import Image

    from vidrec.media.cut import stills

    if row.path is None or not is_file(Path(row.path)):
        return [None] * PICTURES
    span = max(0.0, row.end_sec - row.start_sec)
    instants = [row.start_sec + span * (n + 0.5) / PICTURES for n in range(PICTURES)]
    try:
        found = stills(Path(row.path), instants)
    except VidrecError:
        return [None] * PICTURES
    return [None if still is None else Image.fromarray(still) for still in found]


def _painted(answer: Answer, rows: Rows) -> Image:
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    width = 2 * EDGE + TEXT + PICTURES * (WIDE + GAP)
    sheet = Image.new("RGB", (width, TITLE + ROW * max(1, len(rows)) + EDGE), GROUND)
    draw = ImageDraw.Draw(sheet)
    large, middle, small = (ImageFont.load_default(size) for size in (30, 18, 14))
    _write(draw, (EDGE, 26), answer.query, large, INK, width - 2 * EDGE)
    under = f"{count(len(rows), 'result')} · {answer.embedder.partition(':')[0]} · {answer.store}"
    draw.text((EDGE, 64), under, fill=PALE, font=small)
    for number, (row, pictures) in enumerate(rows):
        top = TITLE + number * ROW
        draw.text((EDGE, top), str(row.rank), fill=PALE, font=large)
        left = EDGE + 48
        _write(draw, (left, top + 6), row.filename, middle, INK, TEXT - 64)
        about = f"{moment(row.start_sec)} - {moment(row.end_sec)}"  # the font has no dash
        if row.duration_sec:
            about += f"  of {moment(row.duration_sec)}"
        draw.text((left, top + 36), about, fill=PALE, font=small)
        about = " · ".join(filter(None, (row.label, seen_in(row, words=1))))
        _write(draw, (left, top + 58), about, small, PALE, TEXT - 64)
        draw.text((left, top + 88), f"score {row.score:.3f}", fill=PALE, font=small)
        if row.confidence is not None:
            colour = SURE if row.confidence >= 0.5 else UNSURE
            draw.text((left + 104, top + 88), f"{row.confidence:.0%} sure", fill=colour, font=small)
            _bar(draw, (left, top + 112), 0.0, row.confidence, colour)
        if row.duration_sec:
            start, end = row.start_sec / row.duration_sec, row.end_sec / row.duration_sec
            _bar(draw, (left, top + 130), min(start, 1), min(end, 1), PALE)
        for at, picture in enumerate(pictures):
            place = (EDGE + TEXT + at * (WIDE + GAP), top)
            card = Image.new("RGB", (WIDE, HIGH), CARD)
            if picture is not None:
                fitted = ImageOps.contain(picture, (WIDE, HIGH))
                card.paste(fitted, ((WIDE - fitted.width) // 2, (HIGH - fitted.height) // 2))
            sheet.paste(card, place)
    return sheet


def _bar(draw: ImageDraw, at: tuple[int, int], start: float, end: float, colour: str) -> None:
    """Draw which part of a line a value or a moment is."""
    long = TEXT - 80
    x, y = at
    draw.rounded_rectangle((x, y, x + long, y + 5), 2, fill=FAINT)
    right = max(start * long + 4, end * long)
    draw.rounded_rectangle((x + start * long, y, x + right, y + 5), 2, fill=colour)


def _write(
    draw: ImageDraw, at: tuple[int, int], text: str, font: object, colour: str, room: int
) -> None:
    """Write a line, shortened in the middle where it is too long."""
    short, cut = text, 0
    while short and draw.textlength(short, font=font) > room:  # type: ignore[arg-type]
        cut += 2
        half = (len(text) - cut) // 2
        short = f"{text[:half]}...{text[-half:]}" if half > 0 else ""
    draw.text(at, short, fill=colour, font=font)  # type: ignore[arg-type]


def _page(answer: Answer, rows: Rows) -> str:
    parts = [_HEAD.replace("TITLE", html.escape(answer.query))]
    under = f"{count(len(rows), 'result')} · {answer.embedder.partition(':')[0]} · {answer.store}"
    parts.append(f"<h1>{html.escape(answer.query)}</h1><p class=u>{html.escape(under)}</p>")
    for row, pictures in rows:
        sure = ""
        if row.confidence is not None:
            kind = "s" if row.confidence >= 0.5 else "n"
            sure = (
                f"<span class={kind}>{row.confidence:.0%} sure</span>"
                f"<i class=b><b class={kind} style='width:{row.confidence:.1%}'></b></i>"
            )
        place_in = ""
        if row.duration_sec:
            start = min(1.0, row.start_sec / row.duration_sec)
            long = max(0.02, min(1.0, row.end_sec / row.duration_sec) - start)
            place_in = f"<i class=b><b style='margin-left:{start:.1%};width:{long:.1%}'></b></i>"
        images = "".join(_inline(picture) for picture in pictures)
        name = html.escape(row.filename)
        if row.path and is_file(Path(row.path)):
            place = html.escape(Path(row.path).absolute().as_uri(), quote=True)
            name = f'<a href="{place}#t={row.start_sec:.1f}">{name}</a>'
        span = f"{moment(row.start_sec)} – {moment(row.end_sec)}"
        parts.append(
            f"<section><div class=r>{row.rank}</div><div class=t><h2>{name}</h2>"
            f"<p>{span}{place_in}</p><p>{html.escape(row.label or '')}</p>"
            f"<p>{html.escape(seen_in(row, words=3))}</p>"
            f"<p>score {row.score:.3f} {sure}</p></div><div class=p>{images}</div></section>"
        )
    return "".join(parts)


def _inline(picture: Image | None) -> str:
    from PIL import ImageOps

    if picture is None:
        return "<span class=x></span>"
    buffer = io.BytesIO()
    ImageOps.contain(picture, (2 * WIDE, 2 * HIGH)).save(buffer, "JPEG", quality=82)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='' src='data:image/jpeg;base64,{data}'>"


_HEAD = f"""<!doctype html><meta charset=utf-8><title>TITLE</title>
<meta name=viewport content="width=device-width"><style>
body{{background:{GROUND};color:{INK};font:15px/1.5 system-ui,sans-serif;margin:2.5rem auto;
max-width:1500px;padding:0 1.5rem}}
h1{{font-weight:600;margin:0}}.u,p{{color:{PALE};margin:.15rem 0}}.u{{margin-bottom:2rem}}
section{{display:flex;gap:1rem;margin:0 0 1.6rem;align-items:flex-start}}
.r{{font-size:1.8rem;color:{PALE};width:2.2rem;flex:none}}
.t{{width:15rem;flex:none}}h2{{font-size:1.05rem;font-weight:600;margin:.3rem 0;
overflow-wrap:anywhere}}a{{color:inherit;text-decoration:none;border-bottom:1px solid {FAINT}}}
.p{{display:flex;gap:.5rem;flex:1;min-width:0}}
.p>*{{flex:1;min-width:0;aspect-ratio:16/9;object-fit:contain;background:{CARD};border-radius:4px}}
.b{{display:block;background:{FAINT};height:5px;border-radius:3px;margin:.3rem 0;overflow:hidden}}
.b b{{display:block;height:5px;background:{PALE};border-radius:3px}}
span.s{{color:{SURE}}}span.n{{color:{UNSURE}}}
.b b.s{{background:{SURE}}}.b b.n{{background:{UNSURE}}}
@media(max-width:800px){{section{{flex-wrap:wrap}}.p{{flex-basis:100%}}}}
</style>"""
