"""Requests made up from the server's own OpenAPI document: none is ever answered with a 500."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import colours, serving
from vidrec.config import Settings

__all__ = ["colours"]
pytest.importorskip("schemathesis")
SECONDS = 30
# Every answer is one that the document names, of the type and the shape that it says.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance," \
    "response_schema_conformance"  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_request_breaks_the_server(colours: Settings, tmp_path: Path) -> None:
    colours.serve.rate = 0
    with serving(colours) as client:
        done = subprocess.run(
            [
                sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
                "run", f"{client.base_url}/openapi.json", "--checks", CHECKS, "--max-time",
                str(SECONDS), "--generation-deterministic", "--generation-allow-x00", "true",
                "--no-color", "--warnings", "off", "--phases", "examples,coverage,fuzzing",
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert client.get("/healthz").status_code == 200
        failed = [
            line for line in client.get("/metrics").text.splitlines()
            if line.startswith("vidrec_requests_total") and 'status="500"' in line
        ]  # fmt: skip
        assert failed == []
