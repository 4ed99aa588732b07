"""Print the JSON Schema of what a command writes."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

from typer import Argument

from vidrec.commands.options import command as takes
from vidrec.display import show_data
from vidrec.errors import UsageError
from vidrec.wording import did_you_mean

VERSION = 1  # raised where a field changes its meaning or goes; new ones may come without
# The classes of the objects that `--format jsonl` writes, one a line.
ROWS = {
    "recommend": ("types:Recommendation", "commands.rows:Answered", "commands.rows:Failed"),
    "embed": ("commands.rows:EmbeddedVideo", "commands.rows:EmbedSummary"),
    "index": ("ingest.index:IndexReport",),
    "list": ("care.status:ListedVideo",),
    "status": ("care.status:Status",),
    "evaluate": ("evaluate.quality:Metric",),
    "usage": ("ingest.usage:Usage",),
    "jobs": ("library.joblist:JobRow",),
    "doctor": ("care.doctor:Check",),
    "config": ("commands.config:Effective",),
    "fetch-ucf": ("training.fetch_ucf:FetchReport", "training.fetch_ucf:ClassCount"),
    "train": ("training.train:TrainReport",),
    "upload": ("ingest.upload:UploadReport",),
    "export": ("exchange.exchange:ExportReport",),
    "import": ("exchange.importing:ImportReport", "exchange.merge:MergeReport"),
    "tag": ("ingest.metadata:MetadataReport",),
    "label": ("ingest.metadata:MetadataReport",),
    "remove": ("ingest.remove:RemoveReport",),
    "error": ("commands.rows:Failed",),
}


@takes()
def schema(
    command: Annotated[
        str,
        Argument(
            help="A command, or error for what is written to stderr when one fails.",
            autocompletion=lambda: [*ROWS],
        ),
    ],
) -> None:
    """Print the JSON Schema of the lines that a command writes under --format jsonl.

    Example: vidrec schema recommend
    """
    if command not in ROWS:
        hint = did_you_mean(command, ROWS)
        raise UsageError(f"{command} writes no JSON lines{hint} (choose one of {', '.join(ROWS)})")
    show_data("json", schema_of(command))


def schema_of(command: str) -> dict[str, Any]:
    """Return the JSON Schema of any line that a command writes."""
    from functools import reduce
    from operator import or_

    from pydantic import TypeAdapter

    kinds = []
    for name in ROWS[command]:
        module, _, kind = name.partition(":")
        kinds.append(getattr(import_module(f"vidrec.{module}"), kind))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A line of `vidrec {command} --format jsonl`",
        "version": VERSION,
        **TypeAdapter(reduce(or_, kinds)).json_schema(),
    }
