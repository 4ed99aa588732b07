"""Upload videos to S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from vidrec.commands.options import ReportFormat, command, flag, leave, sets
from vidrec.commands.stdin import nothing_in, with_stdin
from vidrec.display import Bar, Format, count, note, plain, show_data, size, some

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.ingest.upload import UploadReport


@command(
    "library",
    bucket=sets("s3.bucket", str, "Bucket to upload to."),
    prefix=sets("s3.prefix", str, "Prefix of the keys.", show_default="vidrec/"),
    endpoint_url=sets(
        "s3.endpoint_url", str, "URL of an S3-compatible server.", show_default="AWS"
    ),
    profile=sets("s3.profile", str, "AWS profile."),
    region=sets("s3.region", str, "Region of the bucket."),
    public=sets(
        "s3.public", bool, "Let anyone on the internet who knows the URL read the objects, for "
        "good; by default they are private and read through URLs that expire.", "--public",
    ),
    workers=sets("s3.workers", int, "Upload N files at a time.", min=1, show_default="4"),
)  # fmt: skip
def upload(
    settings: Settings,
    paths: Annotated[list[str], Argument(help="Videos, folders, or - for a list on stdin.")],
    dry_run: bool = flag("Show what would be uploaded, and send nothing.", "--dry-run"),
    verify: bool = flag("Read every object back and compare it with the file.", "--verify"),
    format: ReportFormat = "auto",
) -> None:
    """Upload videos to S3; objects that are there already are skipped.

    Example: vidrec upload ~/Videos --bucket my-videos
    """
    from vidrec.ingest.upload import upload as stage

    if settings.s3.public and not dry_run:
        note("note: --public: anyone who knows an object's URL can read it, for good")
    names = with_stdin(paths)
    report = stage(settings, names, dry_run=dry_run, verify=verify, progress=Bar())
    show_data(format, report)
    if report.found:
        _show_upload(report, dry_run, format)
    else:
        note(nothing_in(names))
    leave(interrupted=report.interrupted, failed=report.failed)


def _show_upload(report: UploadReport, dry_run: bool, wished: Format) -> None:
    """Sum up a run of `upload`, or list what it would send."""
    for path, n_bytes, url in report.planned if wished == "table" else ():
        print(f"{size(n_bytes):>9}  {plain(str(path))}  {url}")
    many = len(report.planned) if dry_run else report.uploaded
    head = "interrupted; uploaded" if report.interrupted else "uploaded"
    parts = [
        f"{'would upload' if dry_run else head} {count(many, 'video')}, "
        f"{size(report.sent_bytes)}, to {report.where}",
        some(report.present, "there before"),
        some(report.opened, "of them opened to everyone"),
        some(report.verified, "verified"),
        some(report.failed, "failed, as said above"),
    ]
    note("; ".join(part for part in parts if part))
