"""The Compose files: their form, and that they start what the images have with settings that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator

from mfserve_server.settings import Settings
from mfserve_trainer.settings import Settings as TrainerSettings
from tests.packaging.deployment import (
    DEPLOY,
    SIGNING_OFF_SECONDS,
    STAGES,
    ignored_by_git,
    image_environment,
    settings_of,
)
from tests.packaging.imports import PROJECT_VERSION

VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
SECRETS = {"DATABASE_PASSWORD", "STORE_PASSWORD"}


class _Loader(yaml.SafeLoader):
    """Knows Compose's own tag, with which a file takes the place of another one's list."""


def _override(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node)


_Loader.add_constructor("!override", _override)


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((DEPLOY / name).read_text("utf-8"), _Loader)  # noqa: S506 - it is a SafeLoader
    return loaded


BASE = _load("compose.yaml")
TLS = _load("compose.tls.yaml")


def interpolated(value: str) -> str:
    """As Compose would, with a word for each variable that must be set."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == "-" else "set", value)


def environment(service: str, *files: dict[str, Any]) -> dict[str, str]:
    image = BASE["services"][service]["build"]["target"]
    found = image_environment(image)
    for file in files:
        found |= {
            name: interpolated(value) for name, value in file["services"][service]["environment"].items()
        }
    return found


def seconds(duration: str) -> float:
    (number,) = re.fullmatch(r"(\d+)s", duration).groups()  # type: ignore[union-attr] # no match: a failure is wanted
    return float(number)


@pytest.mark.parametrize("file", [BASE, TLS], ids=["base", "tls"])
def test_the_form_is_that_of_the_compose_specification(file: dict[str, Any]) -> None:
    errors = Draft7Validator(get_builtin_schema("vendor.compose-spec")).iter_errors(file)
    assert [error.message for error in errors] == []


def test_images_are_targets_of_the_dockerfile() -> None:
    for service in ("server", "trainer"):
        assert BASE["services"][service]["build"]["target"] in STAGES
        assert interpolated(BASE["services"][service]["image"]) == f"mfserve-{service}:{PROJECT_VERSION}"


@pytest.mark.parametrize("files", [(BASE,), (BASE, TLS)], ids=["base", "tls"])
def test_settings_of_the_server(files: tuple[dict[str, Any], ...]) -> None:
    settings = settings_of(Settings, environment("server", *files))
    with_tls = len(files) > 1
    assert settings.plaintext is not with_tls
    assert (settings.tls_certificate is not None) is (settings.callers is not None) is with_tls
    patience = seconds(files[-1]["services"]["server"]["stop_grace_period"])
    assert patience >= settings.notice_seconds + settings.drain_seconds + SIGNING_OFF_SECONDS


def test_settings_of_the_trainer_name_the_same_registry() -> None:
    trainer = settings_of(TrainerSettings, environment("trainer", BASE))
    server = settings_of(Settings, environment("server", BASE))
    assert trainer.url == server.url is not None
    assert trainer.store_url == server.store_url is not None


def test_without_tls_nobody_beyond_this_machine_is_let_in() -> None:
    published = [port for service in BASE["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert [port for port in TLS["services"]["server"]["ports"] if not port.startswith("127.0.0.1:")] == [
        "50051:50051"
    ]


def test_secrets_must_be_chosen_and_none_is_kept_in_git() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    must_be_set = {found[1] for found in VARIABLE.finditer(text) if found[2] == "?"}
    assert must_be_set == SECRETS
    assert not [found[0] for found in VARIABLE.finditer(text) if found[1] in SECRETS and found[2] != "?"]
    example = (DEPLOY / "compose.env.example").read_text("utf-8")
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == SECRETS
    assert ignored_by_git("deploy/.env")
    assert ignored_by_git("deploy/secrets/")


def test_what_others_wait_for_tells_its_health() -> None:
    services = BASE["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert services[other]["healthcheck"]["test"][0] == "CMD", name
            else:
                assert "restart" not in services[other], "it would never have completed"
    assert json.loads(STAGES["server"].values("HEALTHCHECK")[0].partition("CMD ")[2])


@pytest.mark.parametrize("service", ["server", "trainer"])
def test_our_containers_can_write_nothing_but_their_volumes(service: str) -> None:
    ours = BASE["services"][service]
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert ours["security_opt"] == ["no-new-privileges:true"]
    assert ours["tmpfs"] == ["/tmp"]
    assert [volume.partition(":")[2] for volume in ours["volumes"]] == ["/var/lib/mfserve"]
    assert STAGES["runtime"].values("VOLUME") == ["/var/lib/mfserve"]
