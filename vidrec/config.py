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
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from vidrec import sections
from vidrec.errors import ConfigError
from vidrec.files import expanded
from vidrec.origins import Given, problem_of, read_given
from vidrec.plugins import ENV_PREFIX, take_plugins
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

    @field_validator("library", "cache")
    @classmethod
    def _expand(cls, path: Path) -> Path:
        return expanded(path).absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **by_name: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TomlSource(settings_cls)


_file_values: Mapping[str, Any] = {}


class _TomlSource(PydanticBaseSettingsSource):
    """The parsed config file as the weakest source above the defaults."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return _file_values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(_file_values)


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
    global _file_values
    values, flags = dict(given.values), {**given.flags}
    plugins = take_plugins(Settings.model_fields, values, _unknown_variables(), flags)
    _file_values = values
    try:
        settings = Settings(**flags)
        settings._plugins, settings._given = plugins, given if plugins else None
        return settings
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        raise ConfigError(problem_of(given, dict(first), tuple(setting_names()))) from exc
    except SettingsError as exc:
        raise ConfigError(f"{exc} (VIDREC_* environment)") from exc
    finally:
        _file_values = {}


@cache
def setting_names() -> dict[str, Any]:
    """Return all settings of vidrec's own by dotted name, with their fields."""
    names: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Section):
            inner = type(field.default).model_fields
            names |= {f"{name}.{key}": its for key, its in inner.items()}
        else:
            names[name] = field
    return names


@cache
def secret_settings() -> dict[str, tuple[str, ...]]:
    """Return the names of each section's keys."""
    found: dict[str, tuple[str, ...]] = {}
    for dotted, field in setting_names().items():
        section, _, key = dotted.rpartition(".")
        if section:
            secret = "SecretStr" in str(field.annotation)
            found[section] = (*found.get(section, ()), *((key,) if secret else ()))
    return found


def _unknown_variables() -> dict[str, str]:
    """Return variables under the prefix that name no setting of ours: a plug-in's, or typos."""
    unknown: dict[str, str] = {}
    for name, value in os.environ.items():
        if not name.startswith(ENV_PREFIX) or name.startswith(NOT_SETTINGS):
            continue
        top = name[len(ENV_PREFIX) :].lower()
        section, _, key = top.partition("_")
        field = Settings.model_fields.get(section)
        whole = Settings.model_fields.get(top)
        if whole is not None and isinstance(whole.default, Section):
            example = "name" if "name" in type(whole.default).model_fields else "KEY"
            raise ConfigError(
                f"{name} names a section, not a setting: set {name}_{example.upper()} instead"
            )
        if whole is None and (field is None or not key):
            unknown[name] = value
    return unknown
