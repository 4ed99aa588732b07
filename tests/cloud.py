"""S3 and Twelve Labs, both stood in for, and vidrec set up to use them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from typer.testing import CliRunner, Result

from tests.standin_s3 import S3StandIn
from tests.standin_twelvelabs import TwelveLabsStandIn
from tests.tiny_video import write_video
from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.library import Library

BUCKET = "my-videos"


@dataclass
class Cloud:
    """Both services, and a folder for videos."""

    s3: S3StandIn
    labs: TwelveLabsStandIn
    folder: Path

    def videos(self, count: int) -> list[Path]:
        return [
            write_video(self.folder / f"{n:03}.mp4", seconds=4, fps=1, seed=n) for n in range(count)
        ]

    @property
    def client(self) -> Any:
        """boto3's client of the bucket."""
        return boto3.client(
            "s3", endpoint_url=self.s3.url, region_name=self.s3.region,
            config=Config(retries={"max_attempts": 1}),
        )  # fmt: skip

    @property
    def secrets(self) -> list[str]:
        return [self.s3.secret_key, self.labs.key, "X-Amz-Signature"]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with S3StandIn() as s3, TwelveLabsStandIn() as labs:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "TWELVELABS_BASE_URL", "HTTP_PROXY",
                     "http_proxy", "ALL_PROXY"):  # fmt: skip
            monkeypatch.delenv(name, raising=False)
        values = {
            **s3.environment(),
            "VIDREC_S3_ENDPOINT_URL": s3.url,
            "VIDREC_S3_REGION": s3.region,
            "VIDREC_S3_BUCKET": BUCKET,
            "VIDREC_EMBEDDER_NAME": "marengo",
            "VIDREC_MARENGO_API_KEY": labs.key,
            "VIDREC_MARENGO_BASE_URL": labs.url,
            "VIDREC_MARENGO_RPM": "60000",
            "VIDREC_MARENGO_POLL_SEC": "0.05",
            "VIDREC_MARENGO_SETTLE_SEC": "0.3",
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        made = Cloud(s3, labs, tmp_path / "v")
        region = {"LocationConstraint": s3.region}
        made.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=region)
        yield made


def vidrec(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    # A service that stands in for one may itself complain of a client that was killed.
    assert "Traceback" not in result.output or "process_request_thread" in result.output
    return result


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vidrec", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip


def embedded() -> set[str]:
    settings = load_settings()
    fingerprint = str(load_embedder(settings).fingerprint)
    with Library(settings.library) as library:
        return {e.video_id for _, e in library.embeddings(fingerprint) if e.scope == "video"}
