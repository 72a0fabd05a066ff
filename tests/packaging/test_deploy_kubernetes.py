"""The Kustomize base, rendered by kubectl itself and checked against the schemas of Kubernetes."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mfserve.v1 import model_service_pb2
from mfserve_registry.settings import ProcessSettings
from mfserve_server.metrics.layout import IN_FLIGHT
from mfserve_server.settings import Settings
from mfserve_trainer.settings import Settings as TrainerSettings
from tests.packaging.deployment import DEPLOY, SIGNING_OFF_SECONDS, STAGES, image_environment, settings_of
from tests.packaging.imports import PROJECT_VERSION

OLDEST = "1.30"
"""The first Kubernetes with everything that is used here, preStop.sleep being the newest."""
UNITS = {"Mi": 2**20, "Gi": 2**30}

Object = dict[str, Any]


def _render() -> list[Object]:
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    done = subprocess.run(
        [kubectl, "kustomize", DEPLOY / "kubernetes"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Object]:
    """By kind and name, without the hash of a generated one."""
    found = {}
    for each in _render():
        name = each["metadata"]["name"]
        found[each["kind"], name.rpartition("-")[0] if each["kind"] == "ConfigMap" else name] = each
    return found


def pod(objects: dict[tuple[str, str], Object], component: str) -> Object:
    spec: Object = objects["Deployment", f"mfserve-{component}"]["spec"]["template"]["spec"]
    return spec


def container(objects: dict[tuple[str, str], Object], component: str) -> Object:
    (only,) = pod(objects, component)["containers"]
    found: Object = only
    return found


def environment(objects: dict[tuple[str, str], Object], component: str) -> dict[str, str]:
    found = image_environment(component)
    for source in container(objects, component)["envFrom"]:
        if "configMapRef" in source:
            name = source["configMapRef"]["name"].rpartition("-")[0]
            found |= objects["ConfigMap", name]["data"]
    return found


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def test_kubernetes_takes_every_object(objects: dict[tuple[str, str], Object]) -> None:
    for each in objects.values():
        for version in (OLDEST, kubernetes_validate.latest_version()):
            kubernetes_validate.validate(each, version, strict=True)
    misspelt = objects["Service", "mfserve"] | {"specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, OLDEST, strict=True)


def test_what_is_there(objects: dict[tuple[str, str], Object]) -> None:
    assert set(objects) == {
        ("ConfigMap", "mfserve-server"),
        ("ConfigMap", "mfserve-shared"),
        ("ConfigMap", "mfserve-trainer"),
        ("Deployment", "mfserve-server"),
        ("Deployment", "mfserve-trainer"),
        ("HorizontalPodAutoscaler", "mfserve-server"),
        ("PodDisruptionBudget", "mfserve-server"),
        ("Service", "mfserve"),
        ("Service", "mfserve-management"),
        ("ServiceAccount", "mfserve"),
    }  # no Secret: those are not kept in git


@pytest.mark.parametrize("component", ["server", "trainer"])
def test_images_and_their_users(objects: dict[tuple[str, str], Object], component: str) -> None:
    assert container(objects, component)["image"] == f"mfserve-{component}:{PROJECT_VERSION}"
    assert not {"command", "args"} & set(container(objects, component))  # what the image starts
    user, _, group = STAGES[component].values("USER")[-1].partition(":")
    security = pod(objects, component)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
    limits = container(objects, component)["securityContext"]
    assert limits["readOnlyRootFilesystem"] is True
    assert limits["allowPrivilegeEscalation"] is False
    assert limits["capabilities"] == {"drop": ["ALL"]}
    resources = container(objects, component)["resources"]
    assert bytes_of(resources["requests"]["memory"]) <= bytes_of(resources["limits"]["memory"])


@pytest.mark.parametrize("component", ["server", "trainer"])
def test_volumes_are_mounted_where_the_settings_look(
    objects: dict[tuple[str, str], Object], component: str
) -> None:
    model: type[ProcessSettings] = Settings if component == "server" else TrainerSettings
    settings = settings_of(model, environment(objects, component))
    mounts = {mount["mountPath"]: mount["name"] for mount in container(objects, component)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(objects, component)["volumes"]}
    assert set(mounts.values()) == set(volumes)
    assert "/tmp" in mounts
    home = volumes[mounts[str(settings.home)]]
    assert settings.cache_bytes < bytes_of(home["emptyDir"]["sizeLimit"])
    if isinstance(settings, Settings):
        for file in (settings.tls_certificate, settings.tls_key, settings.callers):
            assert file is not None
            # A folder: one file of a secret that is mounted by itself would never change.
            assert "secret" in volumes[mounts[str(file.parent)]]


def test_an_end_has_the_time_that_it_takes(objects: dict[tuple[str, str], Object]) -> None:
    settings = settings_of(Settings, environment(objects, "server"))
    before = container(objects, "server")["lifecycle"]["preStop"]["sleep"]["seconds"]
    takes = before + settings.notice_seconds + settings.drain_seconds + SIGNING_OFF_SECONDS
    assert takes < pod(objects, "server")["terminationGracePeriodSeconds"]


def test_probes_ask_the_health_port(objects: dict[tuple[str, str], Object]) -> None:
    settings = settings_of(Settings, environment(objects, "server"))
    server = container(objects, "server")
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {
        "grpc": settings.port,
        "health": settings.health_port,
        "metrics": settings.metrics_port,
    }
    probes = {kind: server[f"{kind}Probe"]["grpc"] for kind in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {settings.health_port}
    # A server without a version lives, and is not ready.
    needs_no_version = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
    assert probes["startup"]["service"] == probes["liveness"]["service"] == needs_no_version
    assert "service" not in probes["readiness"]


def test_prometheus_finds_the_metrics(objects: dict[tuple[str, str], Object]) -> None:
    settings = settings_of(Settings, environment(objects, "server"))
    told = objects["Deployment", "mfserve-server"]["spec"]["template"]["metadata"]["annotations"]
    assert told["prometheus.io/port"] == str(settings.metrics_port)
    assert settings.metrics_host == "0.0.0.0"
    (scaled,) = objects["HorizontalPodAutoscaler", "mfserve-server"]["spec"]["metrics"]
    metric = scaled["pods"]["metric"]
    assert metric["name"] == IN_FLIGHT.name
    for label, value in metric["selector"]["matchLabels"].items():
        assert value in dict(IN_FLIGHT.labels)[label]


def test_whoever_selects_pods_finds_them(objects: dict[tuple[str, str], Object]) -> None:
    labels = objects["Deployment", "mfserve-server"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["Service", "mfserve"]["spec"]["selector"],
        objects["Service", "mfserve-management"]["spec"]["selector"],
        objects["PodDisruptionBudget", "mfserve-server"]["spec"]["selector"]["matchLabels"],
        objects["Deployment", "mfserve-server"]["spec"]["selector"]["matchLabels"],
        pod(objects, "server")["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    trainer = objects["Deployment", "mfserve-trainer"]["spec"]["template"]["metadata"]["labels"]
    assert not any(selector.items() <= trainer.items() for selector in selectors)
    scaled = objects["HorizontalPodAutoscaler", "mfserve-server"]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) in objects
    # Each apply would undo the scaling.
    assert "replicas" not in objects["Deployment", "mfserve-server"]["spec"]


def test_callers_are_spread_by_themselves(objects: dict[tuple[str, str], Object]) -> None:
    assert objects["Service", "mfserve"]["spec"]["clusterIP"] == "None"
    assert objects["Service", "mfserve-management"]["spec"]["publishNotReadyAddresses"] is True
    for name in ("mfserve", "mfserve-management"):
        (port,) = objects["Service", name]["spec"]["ports"]
        assert port["targetPort"] == "grpc"
