"""Upload videos to S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument

from vidrec.commands.options import Library, ReportFormat, flag, option, settings_for, with_stdin
from vidrec.display import Bar, Format, choose_format, count, note, plain, show_data, size
from vidrec.errors import PartialFailure

if TYPE_CHECKING:
    from vidrec.ingest.upload import UploadReport


def upload(
    paths: Annotated[list[str], Argument(help="Videos, folders, or - for a list on stdin.")],
    bucket: str | None = option("Bucket to upload to."),
    prefix: str | None = option("Prefix of the keys.", show_default="vidrec/"),
    endpoint_url: str | None = option("URL of an S3-compatible server.", show_default="AWS"),
    profile: str | None = option("AWS profile."),
    region: str | None = option("Region of the bucket."),
    public: bool = flag(
        "Let anyone on the internet who knows the URL read the objects, for good; by "
        "default they are private and read through URLs that expire.",
        "--public",
    ),
    workers: int | None = option("Upload N files at a time.", min=1, show_default="4"),
    dry_run: bool = flag("Show what would be uploaded, and send nothing.", "--dry-run"),
    verify: bool = flag("Read every object back and compare it with the file.", "--verify"),
    format: ReportFormat = "auto",
    library: Library = None,
) -> None:
    """Upload videos to S3; objects that are there already are skipped.

    Example: vidrec upload ~/Videos --bucket my-videos
    """
    from vidrec.ingest.upload import upload as stage

    wished = choose_format(format)
    settings = settings_for(
        s3__bucket=bucket, s3__prefix=prefix, s3__endpoint_url=endpoint_url, s3__profile=profile,
        s3__region=region, s3__public=public or None, s3__workers=workers, library=library,
    )  # fmt: skip
    if settings.s3.public and not dry_run:
        note("note: --public: anyone who knows an object's URL can read it, for good")
    report = stage(settings, with_stdin(paths), dry_run=dry_run, verify=verify, progress=Bar())
    show_data(wished, report)
    _show_upload(report, dry_run, wished)
    if report.interrupted:
        raise typer.Exit(130)
    if report.failed:
        raise typer.Exit(PartialFailure.exit_code)


def _show_upload(report: UploadReport, dry_run: bool, wished: Format) -> None:
    """Sum up a run of `upload`, or list what it would send."""
    for path, n_bytes, url in report.planned if wished == "table" else ():
        print(f"{size(n_bytes):>9}  {plain(str(path))}  {url}")
    many = len(report.planned) if dry_run else report.uploaded
    head = "interrupted; uploaded" if report.interrupted else "uploaded"
    parts = [
        f"{'would upload' if dry_run else head} {count(many, 'video')}, "
        f"{size(report.sent_bytes)}, to {report.where}",
        f"{report.present} there before" if report.present else "",
        f"{report.opened} of them opened to everyone" if report.opened else "",
        f"{report.verified} verified" if report.verified else "",
        f"{report.failed} failed (run again to retry)" if report.failed else "",
    ]
    note("; ".join(part for part in parts if part))
