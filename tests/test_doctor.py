"""`vidrec doctor`: each line says how something is and how to mend it; never a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.test_cloud_run import Cloud, cloud, vidrec
from vidrec.cli import app

__all__ = ["cloud"]


def checks(code: int = 0) -> dict[str, dict[str, str]]:
    result = CliRunner().invoke(app, ["doctor", "--format", "json"])
    assert result.exit_code == code, result.output
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


def test_a_fresh_machine_has_warnings_and_no_failure() -> None:
    found = checks()
    assert found["library"]["state"] == "warning"
    assert found["library"]["mend"].startswith("vidrec embed")
    assert found["onnxruntime"]["state"] == "ok"
    assert "Twelve Labs" not in found and "S3" not in found


def test_the_cloud_is_found_well(cloud: Cloud) -> None:
    cloud.videos(1)
    vidrec("embed", cloud.folder)
    vidrec("index")
    before = len(cloud.labs.tasks)
    found = checks()
    assert {found[name]["state"] for name in ("S3", "Twelve Labs", "embedder", "store")} == {"ok"}
    assert found["price"]["state"] == "warning"
    assert len(cloud.labs.tasks) == before
    cloud.videos(2)
    vidrec("embed", cloud.folder, "--no-index")

    assert checks()["store"]["mend"] == "vidrec index --embedder marengo"


@pytest.mark.parametrize(
    ("name", "value", "line", "words"),
    [
        ("VIDREC_MARENGO_API_KEY", "tlk_WRONGKEY", "Twelve Labs", "refuses the API key"),
        ("VIDREC_MARENGO_API_KEY", "", "Twelve Labs", "no Twelve Labs API key"),
        ("VIDREC_MARENGO_MODEL", "Marengo-retrieval-2.7", "embedder", "switched off"),
        ("AWS_SECRET_ACCESS_KEY", "wr0ngsecret", "S3", "refuses the secret key"),
        ("VIDREC_S3_BUCKET", "elsewhere", "S3", "no bucket elsewhere"),
    ],
)
def test_each_failure_is_named_without_a_secret(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    found = checks(code=1)
    assert found[line]["state"] == "failure" and words in found[line]["detail"]
    text = json.dumps(found)
    assert "WRONGKEY" not in text and "wr0ng" not in text
    assert not any(secret in text for secret in cloud.secrets)


def test_vectors_of_another_model_are_a_failure(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.videos(1)
    vidrec("embed", cloud.folder)
    vidrec("index")
    monkeypatch.setenv("VIDREC_MARENGO_MODEL", "marengo3.0")
    found = checks(code=1)["store"]
    assert found["state"] == "failure" and found["mend"].endswith("--recreate")


def test_a_broken_config_is_a_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_CONFIG", str(tmp_path / "none.toml"))
    assert checks(code=1)["config"]["state"] == "failure"
