"""Settings: precedence, refusals, secrets."""

from pathlib import Path

import pytest

from vidrec.config import Settings, load_settings
from vidrec.errors import ConfigError

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("VIDREC_CONFIG", "VIDREC_LIBRARY", "VIDREC_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_flag_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().embedder.clip_seconds == 10
    Path("vidrec.toml").write_text("[embedder]\nclip_seconds = 20\nname = 'resnet'\n")
    assert load_settings().embedder.clip_seconds == 20
    monkeypatch.setenv("VIDREC_EMBEDDER_CLIP_SECONDS", "30")
    assert load_settings().embedder.clip_seconds == 30
    settings = load_settings(overrides={"embedder.clip_seconds": 40.0, "store.name": None})
    assert settings.embedder.clip_seconds == 40
    assert settings.embedder.name == "resnet"
    assert settings.store.name == "knn"


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "xdg" / "vidrec" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text("library = '/user'\n")
    assert load_settings().library == Path("/user")
    Path("vidrec.toml").write_text("library = '/here'\n")
    assert load_settings().library == Path("/here")
    named = tmp_path / "named.toml"
    named.write_text("library = '/named'\n")
    monkeypatch.setenv("VIDREC_CONFIG", str(named))
    assert load_settings().library == Path("/named")
    flag = tmp_path / "flag.toml"
    flag.write_text("library = '/flag'\n")
    assert load_settings(flag).library == Path("/flag")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[qdrant]\nurll = 'x'\n", "qdrant.urll"),
        ("libary = 'x'\n", "libary"),
        ("[embedder]\nclip_seconds = 'soon'\n", "embedder.clip_seconds"),
        ("[embedder\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(text: str, named: str) -> None:
    Path("vidrec.toml").write_text(text)
    with pytest.raises(ConfigError, match=named):
        load_settings()


@pytest.mark.parametrize(
    "name",
    ["VIDREC_LIBARY", "VIDREC_QDRANT_URLL", "VIDREC_QDRNT_URL", "vidrec_libary", "VIDREC_CACHE_X"],
)
def test_a_misspelt_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match="(?i)" + name[len("VIDREC_") :].split("_")[-1]):
        load_settings()


def test_variables_in_small_letters_and_of_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("vidrec_qdrant_port", "1")
    monkeypatch.setenv("VIDREC_SERVE_PROXIES", '["10.0.0.1", "10.0.0.2"]')
    monkeypatch.setenv("VIDREC_QDRANT_COLLECTION", "[x]")
    settings = load_settings()
    assert settings.qdrant.port == 1
    assert settings.serve.proxies == ("10.0.0.1", "10.0.0.2")
    assert settings.qdrant.collection == "[x]"
    monkeypatch.setenv("VIDREC_SERVE_PROXIES", "10.0.0.1")
    with pytest.raises(ConfigError, match=r"serve.proxies: .*tuple.*\(VIDREC_SERVE_PROXIES\)"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "instead"),
    [("VIDREC_EMBEDDER", "VIDREC_EMBEDDER_NAME"), ("VIDREC_S3", "VIDREC_S3_KEY")],
)
def test_a_section_has_no_value(name: str, instead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret value")
    with pytest.raises(ConfigError, match=f"set {instead} instead") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_setting_is_a_finite_number(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_PATIENCE_SEC", number)
    with pytest.raises(ConfigError, match="finite"):
        load_settings()


def test_a_home_that_nobody_has_is_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_LIBRARY", "~nobody-has-this-home/library")
    assert load_settings().library == Path("~nobody-has-this-home/library").absolute()


def test_a_missing_named_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml.*--config"):
        load_settings(Path("absent.toml"))
    monkeypatch.setenv("VIDREC_CONFIG", "absent.toml")
    with pytest.raises(ConfigError, match="VIDREC_CONFIG"):
        load_settings()


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_API_KEY", "tlk_very_secret")
    settings = load_settings()
    assert settings.marengo.api_key is not None
    assert settings.marengo.api_key.get_secret_value() == "tlk_very_secret"
    assert "very_secret" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_a_wrong_secret_is_not_quoted() -> None:
    Path("vidrec.toml").write_text("[marengo]\napi_key = ['very_secret']\n")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "very_secret" not in str(caught.value)


def test_the_example_loads_and_holds_the_defaults() -> None:
    assert load_settings(EXAMPLE) == Settings()


@pytest.mark.parametrize("name", ["VIDREC_QDRANT_API_KEY", "VIDREC_MARENGO_API_KEY"])
def test_white_space_around_a_key_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    section = name.split("_")[1].lower()
    for text in ("SECRETKEY1\n", "SECRETKEY1\r", " SECRETKEY1\t"):
        monkeypatch.setenv(name, text)
        key = getattr(load_settings(), section).api_key
        assert key.get_secret_value() == "SECRETKEY1"
    for text in ("SECRET\nKEY1", "SECRETKEY1 x", "SECRETKÉY1"):
        monkeypatch.setenv(name, text)
        with pytest.raises(ConfigError, match="no key has") as caught:
            load_settings()
        assert "SECRET" not in str(caught.value)


def test_the_key_by_qdrants_own_name_is_cleaned_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("qdrant_client")
    from vidrec.stores import open_store

    monkeypatch.setenv("QDRANT_URL", "https://xyz.cloud.example.org")
    monkeypatch.setenv("QDRANT_API_KEY", "SECRET KEY1")
    settings = load_settings(overrides={"store.name": "qdrant"})
    with pytest.raises(ConfigError, match="QDRANT_API_KEY: the API key holds") as caught:
        open_store(settings)
    assert "SECRET" not in str(caught.value)
    monkeypatch.setenv("QDRANT_API_KEY", " SECRETKEY1\r\n")
    open_store(settings).close()
