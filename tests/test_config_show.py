"""`vidrec config show`, and errors that name where a wrong setting is set."""

import json
from pathlib import Path

import pytest

from tests.test_pipeline import vidrec
from vidrec.config import load_settings, setting_names
from vidrec.errors import ConfigError
from vidrec.files import parsed_toml
from vidrec.origins import IN_FOLDER, Given


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)


def shown(*words: object) -> dict[str, tuple[object, str]]:
    rows = json.loads(vidrec(*words, "config", "show", "-f", "json").stdout)["settings"]
    return {name: (row["value"], row["source"]) for name, row in rows.items()}


def test_every_setting_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    IN_FOLDER.write_text('# mine\n[qdrant]\n\ntenant = """\nours"""\ncollection = "c"\n')
    monkeypatch.setenv("VIDREC_QDRANT_API_KEY", "SECRETKEY")
    monkeypatch.setenv("TWELVE_LABS_API_KEY", "SECRETKEY")
    monkeypatch.setenv("QDRANT_URL", "https://me:SECRETKEY@there.example.org")
    monkeypatch.setenv("VIDREC_EMBEDDER_CLIP_SECONDS", "20")
    found = shown()
    assert found.keys() == setting_names().keys()
    assert found["qdrant.tenant"][1] == "vidrec.toml:4"
    assert found["qdrant.collection"] == ("c", "vidrec.toml:6")
    assert found["qdrant.api_key"] == ("**********", "VIDREC_QDRANT_API_KEY")
    assert found["marengo.api_key"] == ("**********", "TWELVE_LABS_API_KEY")
    assert found["qdrant.url"] == ("https://there.example.org", "QDRANT_URL")
    assert found["embedder.clip_seconds"] == (20.0, "VIDREC_EMBEDDER_CLIP_SECONDS")
    assert found["store.name"] == ("knn", "default")
    every = vidrec("config").output + vidrec("config", "-f", "table").output
    assert "SECRETKEY" not in every


def test_paths_are_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_LIBRARY", "/home/jo@example.org/why?/films")
    monkeypatch.setenv("VIDREC_CACHE", "jo@here/kept")
    monkeypatch.setenv("VIDREC_QDRANT_PATH", "https://me:SECRETKEY@there.example.org")
    monkeypatch.setenv("VIDREC_QDRANT_HOST", "me:SECRETKEY@there.example.org")
    found = shown()
    assert found["library"][0] == "/home/jo@example.org/why?/films"
    assert str(found["cache"][0]).endswith("/folder/jo@here/kept")
    assert "SECRETKEY" not in str(found) and "there.example.org" in str(found["qdrant.path"])


def test_every_format() -> None:
    named = Path("named.toml")
    named.write_text("[store]\nname = 'qdrant'\n")
    words = ("--config", named, "config", "show", "--format")
    lines = [json.loads(line) for line in vidrec(*words, "jsonl").stdout.splitlines()]
    assert {"setting": "store.name", "value": "qdrant", "source": "named.toml:2"} in lines
    assert "named.toml:2" in vidrec(*words, "table").stdout
    assert vidrec(*words, "paths").stdout == "named.toml\n"
    assert vidrec("config", "show", "-f", "paths").stdout == ""
    at = ("config", "show", "--library", "here", "-f", "json")
    assert json.loads(vidrec(*at).stdout)["settings"]["library"]["source"] == "flag"


def test_a_file_of_the_working_folder_is_named() -> None:
    IN_FOLDER.write_text("[embedder]\nname = 'conse'\n")
    import vidrec.commands.options as options

    options._told = False
    assert "settings from ./vidrec.toml" in vidrec("list", code=1).stderr


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("\n[qdrant]\nurll = 'x'\n", {}, r"qdrant.urll \(vidrec.toml:3\); did you mean qdrant.url"),
        ("library = 'x'\nlibary = 'x'\n", {}, r"libary \(vidrec.toml:2\); did you mean library\?"),
        ("[embedder]\nclip_seconds = 'soon'\n", {}, r"Received: soon \(vidrec.toml:2\)"),
        ("", {"VIDREC_S3_WORKERS": "many"}, r"Received: many \(VIDREC_S3_WORKERS\)"),
        ("[marengo]\nbase_url = 'api.example'", {}, r"Received: api.example \(vidrec.toml:2\)"),
        ("", {"VIDREC_S3_ENDPOINT_URL": "ftp://me:PASS@h/x"}, r"Received: ftp://h/x \(VIDREC_S3"),
        ("", {"VIDREC_S3_ENDPOINT_URL": "http://a:PASS@[h/?token=PASS"}, r"Received: \[h/ \(VID"),
        ("[marengo]\napi_key = ['PASS']", {}, r"marengo.api_key: .* \(vidrec.toml:2\)"),
        ("marengo = 'PASS'", {}, r"setting marengo: .*vidrec.toml:1"),
        ("[marengo]\napi_kee = 'PASS'", {}, r"api_kee \(vidrec.toml:2\)"),
        ("a = " + "[" * 50_000, {}, "not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_place_and_value(
    text: str, variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    IN_FOLDER.write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings()
    assert "PASS" not in str(caught.value)


def test_a_flag_is_named_as_one() -> None:
    with pytest.raises(ConfigError, match=r"embedder.clip_seconds: .* Received: 0 \(a flag\)"):
        load_settings(overrides={"embedder.clip_seconds": 0})


def test_lines_of_values_that_take_several() -> None:
    text = b'[a]\nx = [\n 1,\n 2,\n]\n# no\n[b]\ny = """\nz = 1\n"""\nz = 2\nb.c = 3\n'
    given = Given({}, Path("f.toml"), text, parsed_toml(text.decode()))
    places = {name: given.line_of(name) for name in (("a", "x"), ("b", "y"), ("b", "z"))}
    assert places == {("a", "x"): 2, ("b", "y"): 8, ("b", "z"): 11}


def test_show_takes_no_file() -> None:
    assert "--config" in vidrec("config", "show", "x.toml", code=2).stderr
