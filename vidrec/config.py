"""Settings: a flag wins over ``VIDREC_*``, which wins over the TOML file, then the default.

The TOML file is the first of: ``--config FILE``, ``$VIDREC_CONFIG``, ``./vidrec.toml``, and
``config.toml`` in the user's config folder. One that is found in the working folder is not trusted
with keys from elsewhere (``trust.py``). An environment variable names its section and key:
``VIDREC_QDRANT_URL`` is ``[qdrant] url``, ``VIDREC_LIBRARY`` is ``library``. Unknown keys are
refused by name; secrets are ``SecretStr`` and show as ``**********`` wherever they are printed.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from vidrec import sections
from vidrec.errors import ConfigError
from vidrec.files import expanded
from vidrec.origins import ENV_PREFIX, Given, problem_of, read_given
from vidrec.plugins import installed, owner_of, parsed
from vidrec.sections import S, Section
from vidrec.trust import require_trust

# Environment variables under the prefix that are not settings.
NOT_SETTINGS = ("VIDREC_CONFIG", "VIDREC_TEST_", "VIDREC_BENCH_")


class Settings(BaseSettings):
    """All settings, checked. Build one with ``load_settings``."""

    model_config = SettingsConfigDict(
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        validate_default=True,
    )

    library: Path = Field(default_factory=lambda: user_data_path("vidrec", appauthor=False))
    cache: Path = Field(default_factory=lambda: user_cache_path("vidrec", appauthor=False))
    # Constructed, not validated: that would take a validator of each section.
    embedder: sections.EmbedderSettings = sections.EmbedderSettings.model_construct()
    media: sections.MediaSettings = sections.MediaSettings.model_construct()
    conse: sections.ConseSettings = sections.ConseSettings.model_construct()
    clip: sections.ClipSettings = sections.ClipSettings.model_construct()
    resnet: sections.ResnetSettings = sections.ResnetSettings.model_construct()
    marengo: sections.MarengoSettings = sections.MarengoSettings.model_construct()
    paid: sections.PaidSettings = sections.PaidSettings.model_construct()
    store: sections.StoreSettings = sections.StoreSettings.model_construct()
    knn: sections.KnnSettings = sections.KnnSettings.model_construct()
    qdrant: sections.QdrantSettings = sections.QdrantSettings.model_construct()
    s3: sections.S3Settings = sections.S3Settings.model_construct()
    remote: sections.RemoteSettings = sections.RemoteSettings.model_construct()
    exchange: sections.ExchangeSettings = sections.ExchangeSettings.model_construct()
    serve: sections.ServeSettings = sections.ServeSettings.model_construct()
    train: sections.TrainSettings = sections.TrainSettings.model_construct()
    # What is set for installed plug-ins, unchecked until one is opened: it may hold secrets.
    _plugins: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)
    _given: Given | None = PrivateAttr(default=None)

    def section_of(self, name: str, model: type[S]) -> S:
        """Return the settings of an embedder or store of that name, checked by its own model.

        Raises:
            ConfigError: a key that the model does not know, or a value that it does not take.
        """
        if isinstance(own := getattr(self, name, None), model):
            return own
        try:
            return model.model_validate(self._plugins.get(name, {}))
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            problem = {**first, "loc": (name, *first["loc"])}
            known = [f"{name}.{key}" for key in model.model_fields]
            raise ConfigError(problem_of(self._given or Given({}), problem, known)) from exc

    def choosing(self, embedder: str, store: str | None = None) -> "Settings":
        """Return settings that name another embedder, and store; all else is shared with these."""
        chosen = self.model_copy()
        chosen.embedder = self.embedder.model_copy(update={"name": embedder})
        chosen.store = self.store.model_copy(update={"name": store} if store else {})
        return chosen

    @field_validator("library", "cache", mode="before")
    @classmethod
    def _named(cls, path: Any) -> Any:
        if path == "":  # the working folder would become one
            raise ValueError("an empty path is no folder")
        return path

    @field_validator("library", "cache")
    @classmethod
    def _expand(cls, path: Path) -> Path:
        return expanded(path).absolute()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: Any, *others: Any, **by_name: Any
    ) -> tuple[Any]:
        """Take what is given alone: ``settings_of`` lays the sources over each other."""
        return (init_settings,)


def load_settings(
    explicit: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read and check all settings.

    Args:
        explicit: the config file given on the command line.
        overrides: values of flags by dotted name (``{"embedder.name": "conse"}``); None values
            are flags that were not given and are skipped.

    Raises:
        ConfigError: a missing or malformed file, an unknown key, a value of the wrong kind, or a
            file of the working folder that would send a key from elsewhere where it wishes.
    """
    given = read_given(explicit, overrides or {})
    require_trust(given, secret_settings())
    return settings_of(given)


def settings_of(given: Given) -> Settings:
    """Return the settings that were given, checked; nobody asks whether the file is trusted.

    Raises:
        ConfigError: an unknown key, or a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    try:
        for layer in (given.values, _plug_ins(), EnvSettingsSource(Settings)(), given.flags):
            for name, value in layer.items():
                both = isinstance(value, Mapping) and isinstance(values.get(name), dict)
                values[name] = values[name] | value if both else value
        foreign = {n for n in values.keys() - Settings.model_fields if isinstance(values[n], dict)}
        plugins = {n: values.pop(n) for n in (foreign & installed().keys() if foreign else ())}
        settings = Settings(**values)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        raise ConfigError(problem_of(given, dict(first), tuple(setting_names()))) from exc
    except SettingsError as exc:
        raise ConfigError(f"{exc} (VIDREC_* environment)") from exc
    settings._plugins, settings._given = plugins, given if plugins else None
    return settings


@cache
def setting_names() -> dict[str, Any]:
    """Return all settings of vidrec's own by dotted name, with their fields."""
    names: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        keys = _sections().get(name)
        names |= {name: field} if keys is None else {f"{name}.{k}": its for k, its in keys.items()}
    return names


@cache
def secret_settings() -> dict[str, tuple[str, ...]]:
    """Return the names of each section's keys."""
    return {
        section: tuple(key for key, field in keys.items() if "SecretStr" in str(field.annotation))
        for section, keys in _sections().items()
    }


@cache
def _sections() -> dict[str, Mapping[str, Any]]:
    """Return what can be set in each section of vidrec's own."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    return {n: type(its).model_fields for n, its in defaults.items() if isinstance(its, Section)}


def _plug_ins() -> dict[str, dict[str, Any]]:
    """Return what the environment sets for installed plug-ins, which pydantic does not know.

    Raises:
        ConfigError: a variable under the prefix is nobody's: no typo is ignored in silence.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in os.environ.items():
        if not name.upper().startswith(ENV_PREFIX) or name.upper().startswith(NOT_SETTINGS):
            continue
        top = name[len(ENV_PREFIX) :].lower()
        section, _, key = top.partition("_")
        if top in _sections():
            example = f"{name}_{'NAME' if 'name' in _sections()[top] else 'KEY'}"
            raise ConfigError(f"{name} names a section, not a setting: set {example} instead")
        if top not in Settings.model_fields and not (section in _sections() and key):
            owner = owner_of(name)
            if value:
                found.setdefault(owner, {})[top[len(owner) + 1 :]] = parsed(value)
    return found
