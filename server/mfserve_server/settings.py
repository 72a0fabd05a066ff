"""What can be set, and where from: flags, else ``MFSERVE_*`` in the environment, else a TOML file, else the default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

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


class Settings(BaseModel):
    """Everything that a server process has to know. The string under a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    home: Path = Field(default_factory=default_home)
    """Folder of the registry."""
    database_url: SecretStr | None = None
    """SQLAlchemy URL of the registry's database. Absent: SQLite in ``home``."""
    data_roots: Annotated[tuple[Path, ...], "separated by os.pathsep in the environment"] = ()
    """Folders from which trainings may read files."""
    host: str = Field("127.0.0.1", min_length=1, max_length=255)
    """Name or address to listen on."""
    port: int = Field(50051, ge=0, le=65535)
    """Port to listen on; 0: any free one."""
    workers: int = Field(1, ge=1, le=256)
    """Server processes on that port."""
    trainer: bool = True
    """Whether to run a trainer process beside the servers."""
    reflection: bool = False
    """Whether callers may ask for the protos (gRPC server reflection)."""
    poll_seconds: float = Field(0.5, gt=0, le=60)
    """How often a server process looks for moved aliases."""
    drain_seconds: float = Field(10.0, ge=0, le=3600)
    """How long calls under way may take to end after SIGTERM."""
    notice_seconds: float = Field(0.0, ge=0, le=600)
    """How long health says NOT_SERVING before a drain begins; as long as a load balancer takes to notice."""
    max_upload_bytes: int = Field(8 * 2**30, ge=1)
    """Most that one upload of ratings may hold."""
    max_loaded_bytes: int = Field(16 * 2**30, ge=0)
    """Most snapshot bytes that a process keeps mapped for versions that no alias names; the last one used stays."""
    max_loaded_versions: int = Field(64, ge=1)
    """Most versions that a process keeps loaded though no alias names them."""
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


def load_settings(flags: dict[str, Any], config: Path | None) -> Settings:
    """The settings out of all sources.

    Args:
        flags: what was given on the command line; entries of None were not.
        config: a TOML file whose keys are the names of the settings, or None.

    Raises:
        SettingsError: a value that is wrong, an unknown key, or a file that cannot be read.
    """
    # Imported here: a worker gets its settings ready made.
    from pydantic_settings import (
        BaseSettings,
        NoDecode,
        PydanticBaseSettingsSource,
        TomlConfigSettingsSource,
    )
    from pydantic_settings import (
        SettingsError as SourceError,
    )

    class Sources(Settings, BaseSettings, env_prefix=ENVIRONMENT_PREFIX):  # type: ignore[misc] # pydantic merges the configurations
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
    return Settings.model_construct(**{name: getattr(found, name) for name in Settings.model_fields})


def _one_line(error: ErrorDetails, flags: dict[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    if name in flags:
        where = f"--{name.replace('_', '-')}"
    elif f"{ENVIRONMENT_PREFIX}{name.upper()}" in os.environ:
        where = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    else:
        where = f"the setting {name}"
    return f"{where} is wrong: {error['msg']}."
