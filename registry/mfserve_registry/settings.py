"""Settings of a process: flags, else ``MFSERVE_*`` in the environment, else a TOML file, else the default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
)
from pydantic_core import ErrorDetails

from mfserve_registry.home import default_home

ENVIRONMENT_PREFIX = "MFSERVE_"


class SettingsError(Exception):
    """Settings that cannot be used; the message is one line for a person."""


class ProcessSettings(BaseModel):
    """What servers and trainers both have to know. The string under a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    home: Path = Field(default_factory=default_home)
    """Folder of the registry."""
    database_url: SecretStr | None = None
    """SQLAlchemy URL of the registry's database. Absent: SQLite in ``home``."""
    data_roots: Annotated[tuple[Path, ...], "separated by os.pathsep in the environment"] = ()
    """Folders from which trainings may read files."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """``auto``: for a person on a terminal, JSON lines otherwise."""

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("home", "data_roots", mode="after")
    @classmethod
    def _absolute(cls, value: Path | tuple[Path, ...]) -> Path | tuple[Path, ...]:
        """A child process may have another working folder."""
        if isinstance(value, tuple):
            return tuple(path.expanduser().absolute() for path in value)
        return value.expanduser().absolute()

    @field_serializer("database_url", when_used="json")
    def _reveal(self, value: SecretStr | None) -> str | None:
        """A worker gets its settings as JSON over its own pipe, not in arguments that others can read."""
        return None if value is None else value.get_secret_value()

    @property
    def url(self) -> str | None:
        return None if self.database_url is None else self.database_url.get_secret_value()


SettingsT = TypeVar("SettingsT", bound=ProcessSettings)


def load_settings(model: type[SettingsT], flags: dict[str, Any], config: Path | None) -> SettingsT:
    """The settings out of all sources.

    Args:
        model: whose fields are the settings.
        flags: what was given on the command line; entries of None were not.
        config: a TOML file whose keys are the names of the settings; None: what MFSERVE_CONFIG names, if anything.

    Raises:
        SettingsError: a value that is wrong, an unknown key, or a file that cannot be read.
    """
    # Imported here: a server process gets its settings ready made.
    from pydantic_settings import (
        BaseSettings,
        NoDecode,
        PydanticBaseSettingsSource,
        TomlConfigSettingsSource,
    )
    from pydantic_settings import (
        SettingsError as SourceError,
    )

    class Sources(model, BaseSettings, env_prefix=ENVIRONMENT_PREFIX):  # type: ignore[misc, valid-type] # pydantic merges the two
        data_roots: Annotated[tuple[Path, ...], NoDecode] = ()

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if config is None:
                return init_settings, env_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config)

    if config is None and (named := os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG")):
        config = Path(named)
    if config is not None and not config.is_file():
        raise SettingsError(f"There is no settings file {config}.")
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        found = Sources(**given)
    except ValidationError as error:
        raise SettingsError(_one_line(error.errors(include_url=False)[0], given)) from error
    except SourceError as error:
        raise SettingsError(f"The environment's settings cannot be read: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: no TOML
        raise SettingsError(f"{config} cannot be read: {error}") from error
    return model.model_validate({name: getattr(found, name) for name in model.model_fields})


def _one_line(error: ErrorDetails, flags: dict[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    if name in flags:
        where = f"--{name.replace('_', '-')}"
    elif f"{ENVIRONMENT_PREFIX}{name.upper()}" in os.environ:
        where = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    else:
        where = f"the setting {name}"
    return f"{where} is wrong: {error['msg']}."
