"""Settings of a process: flags, else ``MFSERVE_*`` in the environment, else a TOML file, else the default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.home import default_home
from mfserve_registry.setting_faults import PREFIX, faults, is_link
from mfserve_registry.store import check_store_url

_MOST_BYTES = 2**50

DEFAULT_CACHE_BYTES = 64 * 2**30


class SettingsError(Exception):
    """Settings that are wrong in themselves; the message is one line for a person."""


class StartError(Exception):
    """Settings that are right in themselves, with which a process cannot run here; one line for a person."""


def _bytes(value: Any) -> Any:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number > _MOST_BYTES:
        what = "without a unit" if number is None else f"at most {_MOST_BYTES} (1 PiB)"
        raise ValueError(f"it is a number of bytes {what}, such as {64 * 2**20} for 64 MiB")
    return value


Bytes = Annotated[int, BeforeValidator(_bytes)]
"""A number of bytes, which people like to give with a unit."""


class ProcessSettings(BaseModel):
    """What servers and trainers both have to know. The string under a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    home: Path = Field(default_factory=default_home)
    """Folder of the registry; absent: mfserve in the user's data folder."""
    database_url: SecretStr | None = None
    """URL of the registry's database, ``postgresql://user@host/name``. Absent: SQLite in ``home``."""
    store_url: str | None = None
    """Where the registry's files are, ``s3://bucket/prefix`` or ``file:///folder``. Absent: in ``home``."""
    cache_bytes: Bytes = Field(DEFAULT_CACHE_BYTES, ge=0)
    """Most bytes in ``home`` of copies of what a bucket keeps; those in use stay."""
    data_roots: Annotated[tuple[Path, ...], "separated by os.pathsep in the environment"] = ()
    """Folders from which trainings may read files, separated as in PATH; absent: none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged: debug, info, warning or error."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """``json``, ``console``, or ``auto``: for a person on a terminal, JSON lines otherwise."""

    otlp_endpoint: str | None = None
    """Where traces go by OTLP over gRPC, ``http://127.0.0.1:4317``; absent: there are none."""

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans_and_empty_values(cls, value: Any, info: ValidationInfo) -> Any:
        """To Python, and so to pydantic, true is 1 and an empty path the working folder."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("it cannot be true or false")
        if value == "" and info.field_name != "data_roots":
            raise ValueError("it is empty; give it a value, or leave it out")
        return value

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("store_url", mode="after")
    @classmethod
    def _check_store(cls, value: str | None) -> str | None:
        try:
            return None if value is None else check_store_url(value)
        except InvalidArgument as error:
            raise ValueError(error.message.rstrip(".")) from error

    @field_validator("otlp_endpoint", mode="after")
    @classmethod
    def _check_endpoint(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/]+/?", value):
            raise ValueError(
                "A collector's URL must look like http://127.0.0.1:4317, or https:// where it speaks TLS"
            )
        return value

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
    def registry_place(self) -> str:
        """Where the registry is, in words for a person: no password is among them."""
        if self.url is None:
            return f"the registry in {self.home}"
        # Imported here: who only checks settings does not wait for it. And parsed as by whoever connects: for another
        # parser a password may end elsewhere.
        from mfserve_registry.database import database_url, public_url

        url = database_url(self.url)
        return f"the registry at {public_url(url.set(drivername=url.get_backend_name()))}"

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
        EnvSettingsSource,
        NoDecode,
        PydanticBaseSettingsSource,
        TomlConfigSettingsSource,
    )
    from pydantic_settings import (
        SettingsError as SourceError,
    )

    unknown = model.model_config.get("extra")  # BaseSettings has an opinion of its own

    class Sources(model, BaseSettings, env_prefix=PREFIX, extra=unknown):  # type: ignore[misc, valid-type, pydantic-config] # pydantic merges the two
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
            environment = cast("EnvSettingsSource", env_settings)
            variables = environment.env_vars.items()
            environment.env_vars = {name: value for name, value in variables if not is_link(name, value)}
            if config is None:
                return init_settings, env_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config)

    if config is None and (named := os.environ.get(f"{PREFIX}CONFIG")):
        config = Path(named)
    if config is not None and not config.is_file():
        raise SettingsError(f"There is no settings file {config}.")
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        found = Sources(**given)
    except ValidationError as error:
        raise SettingsError(
            faults(error.errors(include_url=False), model.model_fields, given, config)
        ) from error
    except SourceError as error:
        raise SettingsError(f"The environment's settings cannot be read: {error}") from error
    except OSError as error:
        raise SettingsError(f"{config} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"{config} cannot be read: it is no TOML: {error}.") from error
    return model.model_validate({name: getattr(found, name) for name in model.model_fields})
