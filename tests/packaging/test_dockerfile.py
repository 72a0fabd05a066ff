"""The images, as far as they can be known without a container engine: their install steps are replayed."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mfserve.v1 import model_service_pb2
from mfserve_server.settings import Settings
from mfserve_trainer.settings import Settings as TrainerSettings
from tests.packaging import wheelhouse
from tests.packaging.deployment import STAGES, image_environment, settings_of
from tests.packaging.dockerfile import FOR_ROOT_ONLY, Replay, Stage
from tests.packaging.imports import ROOT, imports_of

COMMON = ["mfserve_registry", "mfserve_scoring"]

MISSING = """
import importlib.util, json, sys
print(json.dumps([name for name in json.loads(sys.argv[1]) if importlib.util.find_spec(name) is None]))
"""


def stored(value: str) -> list[str]:
    """The words of an instruction in the exec form."""
    words: list[str] = json.loads(value[value.index("[") :])
    return words


def test_targets_and_their_bases() -> None:
    assert {"server", "trainer"} <= set(STAGES)
    images = {stage.base for stage in STAGES.values()} - set(STAGES)
    # The Python of the image is the one whose pins these tests have run: locks differ between Pythons.
    assert images == {"python:3.11-slim-bookworm"}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_copied_path_exists_and_reaches_the_builder(stage: Stage) -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    ]
    for copy in stage.copies():
        if copy.stage is not None:
            assert copy.stage in STAGES
            continue
        for source in copy.sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), (
                f"{source} is in .dockerignore"
            )


def test_linter_has_nothing_to_say() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["server", "trainer"])
def test_image_runs_as_a_fixed_user_who_owns_only_the_home(name: str) -> None:
    stage = STAGES[name]
    assert stage.values("USER")[-1] == "10001:10001"
    runtime = STAGES[stage.base]
    assert "--uid 10001" in " ".join(runtime.values("RUN"))
    assert runtime.values("VOLUME") == ["/var/lib/mfserve"]
    assert runtime.values("STOPSIGNAL") == ["SIGTERM"]
    last = [step.instruction for step in stage.steps]
    assert "RUN" not in last[last.index("USER") :]


def test_server_tells_its_health_and_starts_without_a_shell() -> None:
    server = STAGES["server"]
    assert server.values("EXPOSE") == ["50051"]
    assert stored(server.values("HEALTHCHECK")[0]) == [
        *["python", "-m", "mfserve_server.healthcheck"],
        *["--service", model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name],
    ]
    assert stored(server.values("ENTRYPOINT")[0]) == ["mfserve", "serve", "--no-trainer", "--host", "0.0.0.0"]
    assert stored(STAGES["trainer"].values("ENTRYPOINT")[0]) == ["mfserve", "trainer"]


def test_images_set_what_is_a_setting() -> None:
    server = settings_of(Settings, image_environment("server"))
    trainer = settings_of(TrainerSettings, image_environment("trainer"))
    assert str(server.home) == str(trainer.home) == "/var/lib/mfserve"
    # Whoever runs it says that the network is trusted, or gives a certificate.
    assert not server.plaintext
    # The check works whether the server speaks TLS or not, and nobody outside the container is answered.
    assert server.health_port not in {None, server.port}
    assert server.health_host == "127.0.0.1"


def test_documents_that_run_the_server_say_what_its_network_is() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    runs = [
        run
        for text in texts
        for run in re.findall(r"^docker run (?:.*\\\n)*.*$", text, re.MULTILINE)
        if run.endswith("mfserve-server")
    ]
    assert runs
    for run in runs:
        settings = settings_of(Settings, dict(re.findall(r"--env (\w+)=(\S+)", run)))
        assert settings.plaintext is (settings.tls_certificate is None), run
        assert settings.tls_certificate is not None or "--publish 127.0.0.1:" in run


@pytest.fixture(scope="module")
def replay(wheels: Path, layers: Path) -> Iterator[Replay]:
    """Both images' stages, built."""
    with TemporaryDirectory(prefix="mfserve-images-") as folder:
        replay = Replay(STAGES, ROOT, Path(folder), layers, wheelhouse.offline(wheels))
        # What both copy from comes first; the rest is unpacking, at which two processors are twice as fast.
        replay.root("wheel")
        replay.root("runtime")
        with ThreadPoolExecutor() as pool:
            list(pool.map(replay.root, ["trainer", "server"]))
        yield replay


@pytest.mark.timeout(900)  # the first run downloads
@pytest.mark.parametrize("name", ["server", "trainer"])
def test_install_steps_give_an_environment_that_runs(name: str, replay: Replay) -> None:
    programs = replay.root(name) / "opt" / "mfserve" / "bin"

    assert all(any(word in command for word in FOR_ROOT_ONLY) for command in replay.left_out)

    # Every package that the code imports, also one that is only imported inside a function, is there.
    own = [
        each
        for package in [*COMMON, f"mfserve_{name}"]
        for each in imports_of(package)
        if each.when != "typing"
    ]
    own += [each for each in imports_of("mfserve") if each.when == "import"]
    wanted = sorted({each.package for each in own} - set(sys.stdlib_module_names))
    assert _missing(programs, wanted) == []
    training = ["tensorflow", "keras", "tensorboard", "pandas", "sklearn"]
    assert _missing(programs, training) == (training if name == "server" else [])

    # The entry point is found, and takes the options that the image gives it.
    program, command, *options = stored(STAGES[name].values("ENTRYPOINT")[0])
    shown = _output([programs / program, command, "--help"])
    assert [option for option in options if option.startswith("--") and option not in shown] == []
    if name == "server":
        # Nobody listens: the check says so by its exit code.
        check: list[str | Path] = [
            programs / "python",
            *stored(STAGES[name].values("HEALTHCHECK")[0])[1:],
            "--address",
            "127.0.0.1:1",
        ]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def _missing(programs: Path, names: list[str]) -> list[str]:
    found: list[str] = json.loads(_output([programs / "python", "-c", MISSING, json.dumps(names)]))
    return found


def _output(command: list[str | Path]) -> str:
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
