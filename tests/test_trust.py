"""A config file that lies in the working folder does not say where keys from elsewhere go."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.test_pipeline import vidrec
from tests.word_embedder import install
from vidrec.config import load_settings
from vidrec.errors import ConfigError
from vidrec.origins import IN_FOLDER
from vidrec.trust import trusted_file

THERE = "https://there.example.org/v1"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    ("text", "variables", "named"),
    [
        ("[marengo]\nbase_url = '{url}'", {"VIDREC_MARENGO_API_KEY": "SECRET"}, "MARENGO_API_KEY"),
        ("[marengo]\nbase_url = '{url}'", {"TWELVE_LABS_API_KEY": "SECRET"}, "TWELVE_LABS_API_KEY"),
        ("[marengo]\nbase_url = '{url}'\napi_key = ' '", {"TWELVELABS_API_KEY": "SECRET"}, "LABS"),
        (
            "[marengo]\nbase_url = '{url}'\napi_key = 'mine'",
            {"VIDREC_MARENGO_API_KEY": "SECRET"},
            "VIDREC_MARENGO_API_KEY",
        ),
        ("qdrant.url = '{url}'", {"QDRANT_API_KEY": "SECRET"}, "QDRANT_API_KEY"),
        ("[qdrant]\nurl = '{url}'", {"vidrec_qdrant_api_key": "SECRET"}, "vidrec_qdrant_api_key"),
        ("[qdrant]\nhost = 'there'", {"VIDREC_QDRANT_API_KEY": "SECRET"}, "QDRANT_API_KEY"),
        ("qdrant = {{port = 1}}", {"QDRANT_API_KEY": "SECRET", "QDRANT_URL": THERE}, "port"),
        ("[s3]\nendpoint_url = '{url}'", {}, "AWS credentials"),
        ("[s3]\nprofile = 'other'", {}, "AWS credentials"),
        ("[serve]\nhost = '0.0.0.0'\ntoken = 'theirs'", {}, "page of your library to 0.0.0.0"),
        ("[serve]\ntoken = 'theirs'", {"VIDREC_SERVE_HOST": "0.0.0.0"}, "library at 0.0.0.0"),
        ("[serve]\ncors_origins = ['{url}']", {}, "page of your library to"),
        ("[serve]\nproxies = ['10.0.0.1']", {}, "page of your library to"),
    ],
)
def test_an_address_is_refused_that_would_get_a_key_from_elsewhere(
    text: str, variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    IN_FOLDER.write_text(text.format(url=THERE))
    with pytest.raises(ConfigError, match=named) as caught:
        load_settings()
    assert "vidrec.toml:" in str(caught.value) and "vidrec config trust" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    named_file = Path("named.toml")
    named_file.write_bytes(IN_FOLDER.read_bytes())
    load_settings(named_file)
    monkeypatch.setenv("VIDREC_CONFIG", str(IN_FOLDER))
    load_settings()


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("[marengo]\nbase_url = '{url}'\napi_key = 'mine'", {}),
        ("[marengo]\nbase_url = '{url}'", {}),
        (
            "[marengo]\nbase_url = '{url}'",
            {"VIDREC_MARENGO_API_KEY": "SECRET", "VIDREC_MARENGO_BASE_URL": THERE},
        ),
        ("[qdrant]\ncollection = 'ours'\ntimeout = 3", {"QDRANT_API_KEY": "SECRET"}),
        ("[s3]\nbucket = 'ours'\nregion = 'eu-west-1'", {}),
        ("[serve]\nhost = '127.0.0.1'\nport = 9000\ntoken = 'mine'", {}),
        ("[s3]\nendpoint_url = '{url}'\nanonymous = true", {}),
    ],
)
def test_what_sends_no_foreign_key_is_taken(
    text: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    IN_FOLDER.write_text(text.format(url=THERE))
    load_settings()


def test_anonymous_that_the_environment_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_S3_ANONYMOUS", "false")
    IN_FOLDER.write_text(f"[s3]\nendpoint_url = '{THERE}'\nanonymous = true")
    with pytest.raises(ConfigError, match="AWS credentials"):
        load_settings()


def test_a_plug_ins_address_needs_its_key_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "tiny")
    IN_FOLDER.write_text("[tiny]\nservers = ['https://x:pass@there.example.org']")
    with pytest.raises(ConfigError, match="what tiny keeps elsewhere") as caught:
        load_settings()
    assert "pass" not in str(caught.value)
    IN_FOLDER.write_text("[tiny]\nserver = 'there'\napi_token = 'mine'")
    load_settings()
    monkeypatch.setenv("VIDREC_TINY_API_TOKEN", "SECRET")
    with pytest.raises(ConfigError, match="VIDREC_TINY_API_TOKEN"):
        load_settings()


def test_trust_is_for_this_place_and_this_content(tmp_path: Path) -> None:
    IN_FOLDER.write_text("[s3]\nprofile = 'other'\n")
    assert "trust" in vidrec("status", code=2).stderr
    assert "is trusted" in vidrec("config", "trust").stderr
    assert load_settings().s3.profile == "other"
    assert trusted_file().is_relative_to(tmp_path)
    IN_FOLDER.write_text("[s3]\nprofile = 'another'\n")
    with pytest.raises(ConfigError, match="changed since it was trusted"):
        load_settings()
    vidrec("config", "trust", "vidrec.toml")
    load_settings()
    assert "no longer" in vidrec("config", "trust", "--forget").stderr
    assert "is not trusted" in vidrec("config", "trust", "--forget").stderr
    with pytest.raises(ConfigError):
        load_settings()


@pytest.mark.parametrize("damage", [b"", b"[]", b"{\xff", b"[" * 100_000])
def test_a_damaged_memory_trusts_nothing(damage: bytes) -> None:
    IN_FOLDER.write_text("[s3]\nprofile = 'other'\n")
    trusted_file().parent.mkdir(parents=True)
    trusted_file().write_bytes(damage)
    with pytest.raises(ConfigError, match="vidrec config trust"):
        load_settings()
    vidrec("config", "trust")
    load_settings()


@pytest.fixture
def catcher() -> Iterator[tuple[str, list[str]]]:
    """A server that keeps the keys that it is sent."""
    caught: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            caught.append(str(self.headers.get("api-key") or self.headers.get("x-api-key")))
            self.send_error(403)

        do_POST = do_PUT = do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", caught
    server.shutdown()


def test_no_key_leaves_before_the_file_is_trusted(
    catcher: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("qdrant_client")
    url, caught = catcher
    monkeypatch.setenv("VIDREC_QDRANT_API_KEY", "SECRETKEY")
    IN_FOLDER.write_text(f"[store]\nname = 'qdrant'\n[qdrant]\nurl = '{url}'\n")
    for words in (["recommend", "a cat"], ["status"], ["index"], ["list"]):
        result = vidrec(*words, code=2)
        assert "vidrec.toml:4" in result.stderr and "SECRETKEY" not in result.stderr
    assert "vidrec.toml:4" in vidrec("doctor", code=1).output
    assert "not trusted" in vidrec("config", "show").stderr
    assert caught == []
    vidrec("config", "trust")
    vidrec("recommend", "a cat", code=1)
    assert caught and set(caught) == {"SECRETKEY"}
