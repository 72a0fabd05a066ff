"""What docs/operations.md shows is what programs take and have; alerts and metrics are in test_deploy_monitoring.py."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

from mfserve_registry.settings import load_settings
from mfserve_server.security.access import read_access
from mfserve_server.settings import Settings
from tests.packaging.deployment import DEPLOY
from tests.packaging.imports import ROOT

TEXT = (ROOT / "docs/operations.md").read_text("utf-8")
OF_NO_LIMIT = {"cache_bytes"}
"""Settings that are bounds and no limits of what callers may do."""


def example(language: str, beginning: str) -> str:
    """The code block that begins so."""
    (found,) = [
        block
        for block in re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
        if block.startswith(beginning)
    ]
    return str(found)


def test_limits_are_all_there_with_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", TEXT, re.MULTILINE))
    fields = Settings.model_fields
    limits = {
        name
        for name in fields
        if name.startswith("max_") or name.endswith("_bytes") or name == "stream_idle_seconds"
    }
    assert rows == {name: str(fields[name].default) for name in limits - OF_NO_LIMIT}


def test_reasons_of_refusals_are_those_of_the_protocol() -> None:
    told = set(re.findall(r"\| `([A-Z_]+)` \|$", TEXT, re.MULTILINE))
    known = (ROOT / "protos/mfserve/v1/error_reason.proto").read_text("utf-8")
    assert told
    assert all(f"ERROR_REASON_{reason} =" in known for reason in told)


def test_the_overlay_can_be_built(tmp_path: Path) -> None:
    overlay = example("yaml", "# kustomization.yaml").replace("../mfserve/deploy/kubernetes", "base")
    (tmp_path / "kustomization.yaml").write_text(overlay)
    base = tmp_path / "base"
    base.mkdir()
    for file in (DEPLOY / "kubernetes").iterdir():
        (base / file.name).write_text(file.read_text())
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    done = subprocess.run([kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=True)
    objects = list(yaml.safe_load_all(done.stdout))
    assert {each["metadata"]["namespace"] for each in objects} == {"recommender"}
    (shared,) = [each for each in objects if each["metadata"]["name"].startswith("mfserve-shared-")]
    assert shared["data"]["MFSERVE_STORE_URL"] == "s3://models/mfserve"
    images = {
        container["image"]
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert all(image.startswith("registry.example/mfserve-") for image in images)


def test_the_file_of_callers_is_one(tmp_path: Path) -> None:
    (tmp_path / "callers.toml").write_text(example("toml", "# callers.toml"))
    access = read_access(tmp_path / "callers.toml")
    assert len(access) == 2
    assert list(access.by_certificate) == ["ops.example"]


def test_the_settings_file_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MFSERVE_CONFIG", "MFSERVE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "server.toml").write_text(example("toml", "host = "))
    settings = load_settings(Settings, {}, tmp_path / "server.toml")
    assert settings.tls_certificate is not None
    assert settings.callers is not None
    assert not settings.plaintext
    scraped = yaml.safe_load(example("yaml", "scrape_configs:"))["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": [f"{settings.metrics_host}:{settings.metrics_port}"]}]


@pytest.mark.parametrize(
    "document", ["docs/operations.md", "docs/deployment.md", "docs/settings.md", "SECURITY.md"]
)
def test_links_lead_somewhere(document: str) -> None:
    file = ROOT / document
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text("utf-8")):
        if target.startswith("https:"):
            continue
        path, _, heading = target.partition("#")
        other = (file.parent / path).resolve() if path else file
        assert other.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", other.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings}
            assert heading in anchors, target
