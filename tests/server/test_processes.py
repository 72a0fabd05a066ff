"""``mfserve serve`` for real: a parent, its server processes, signals and deaths."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import grpc
import psutil
import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as models_pb
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.model_service_pb2_grpc import ModelServiceStub
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_registry import Registry
from mfserve_registry.database import utc_now
from tests.server.samples import publish
from tests.waiting import eventually

SERVE = [sys.executable, "-m", "mfserve", "serve"]
PATIENCE = 60.0
REQUEST = pb.RecommendRequest(model_spec=common_pb2.ModelSpec(model="movies"), user_id="u1")


class Running:
    """A parent process that serves."""

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any]) -> None:
        self.process = process
        self.address: str = ready["address"]
        self.workers: list[int] = ready["workers"]
        assert ready["pid"] == process.pid

    def channel(self) -> grpc.Channel:
        # Connections, not calls, are spread over the processes: a channel that shares none may reach another one.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        return grpc.insecure_channel(self.address, options)

    def recommend(self) -> pb.RecommendResponse:
        """By a connection of its own, as long as it takes until one is taken."""
        with self.channel() as channel:
            response: pb.RecommendResponse = RecommendationServiceStub(channel).Recommend(
                REQUEST, timeout=PATIENCE, wait_for_ready=True
            )
            return response

    def status(self) -> models_pb.GetServingStatusResponse:
        with self.channel() as channel:
            response: models_pb.GetServingStatusResponse = ModelServiceStub(channel).GetServingStatus(
                models_pb.GetServingStatusRequest(), timeout=PATIENCE, wait_for_ready=True
            )
            return response

    def pids(self) -> set[int]:
        return {server.pid for server in self.status().servers}


@contextmanager
def serving(home: Path, *flags: str, log: IO[bytes] | None = None) -> Iterator[Running]:
    command = [*SERVE, "--home", str(home), "--port", "0", "--no-trainer", "--json", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
        try:
            assert process.stdout is not None
            yield Running(process, json.loads(process.stdout.readline()))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    with Registry.open(folder) as registry:
        publish(registry)
    return folder


def test_two_processes_answer_on_one_port_and_end_on_sigterm(home: Path) -> None:
    with serving(home, "--workers", "2") as running:
        assert len(set(running.workers)) == 2
        eventually(lambda: running.pids() == set(running.workers), "all workers answer")
        assert running.recommend().served_version.version == 1
        answered_by = set()

        def both_have_answered() -> bool:
            answered_by.add(running.status().answered_by)
            return len(answered_by) == 2

        eventually(both_have_answered, "both have answered")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE) == 0
        assert not any(psutil.pid_exists(pid) for pid in running.workers)
    with Registry.open(home) as registry:
        assert list(registry.serving.list()) == []


def test_a_worker_that_is_killed_is_started_again_while_the_other_answers(home: Path) -> None:
    with serving(home, "--workers", "2") as running:
        os.kill(running.workers[0], signal.SIGKILL)
        for _ in range(20):
            assert running.recommend().served_version.version == 1
        # By a clock that is behind its leases do not end: it is taken out.
        with Registry.open(home, clock=lambda: utc_now() - timedelta(minutes=5)) as registry:
            eventually(
                lambda: running.workers[0] not in {known.server.pid for known in registry.serving.list()},
                "the dead worker is taken out",
            )

        def another_is_there() -> bool:
            return any(
                server.pid not in running.workers and server.versions for server in running.status().servers
            )

        eventually(another_is_there, "another worker is there")
        assert running.process.poll() is None


def test_two_processes_verify_each_version_once_and_refuse_what_is_damaged(
    home: Path, tmp_path: Path
) -> None:
    with (
        Registry.open(home) as registry,
        (tmp_path / "log").open("wb") as log,
        serving(home, "--workers", "2", "--log-format", "json", log=log) as running,
    ):
        whole = publish(registry, seed=1, promote_to="production")
        eventually(lambda: _states(running, 2) == ["SERVING_STATE_AVAILABLE"] * 2, "both have loaded")
        damaged = publish(registry, seed=2)
        (registry.snapshots.path(damaged.digest) / "item_counts.npy").unlink()
        registry.aliases.set("movies", "production", 3, expected_revision=2)
        eventually(lambda: _states(running, 3) == ["SERVING_STATE_FAILED"] * 2, "both have refused")
        assert running.recommend().served_version.version == 2
        if sys.platform == "linux":
            for pid in running.workers:
                assert 10 in {_niceness(thread) for thread in Path(f"/proc/{pid}/task").iterdir()}
                assert os.getpriority(os.PRIO_PROCESS, pid) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    verified = [line["digest"] for line in lines if line["event"] == "verified"]
    assert len(verified) == 2
    assert whole.digest in verified


def _states(running: Running, version: int) -> list[str]:
    """What every process says of a version."""
    return [
        models_pb.ServingState.Name(held.state)
        for server in running.status().servers
        for held in server.versions
        if held.served_version.version == version
    ]


def _niceness(thread: Path) -> int:
    """Field 19 of stat; the name in field 2 may hold blanks (proc(5))."""
    return int((thread / "stat").read_text().rpartition(")")[2].split()[16])


def test_a_drain_lets_calls_end_and_a_second_signal_does_not_wait(home: Path) -> None:
    over = threading.Event()
    with serving(home, "--drain-seconds", "600") as running, running.channel() as channel:
        requests: Any = iter(_stream_until(over))
        stream = RecommendationServiceStub(channel).StreamRecommend(requests)
        assert next(stream).started.served_version.version == 1
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)  # together with the first it asks for nothing more
        assert next(stream).batch.batch_id == 1
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(1.0)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(PATIENCE) == 0
        assert not any(psutil.pid_exists(pid) for pid in running.workers)
    over.set()


def _stream_until(over: threading.Event) -> Iterator[pb.StreamRecommendRequest]:
    yield pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=REQUEST.model_spec))
    yield pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=1, user_ids=["u1"]))
    over.wait(PATIENCE)


def test_children_do_not_outlive_a_parent_that_is_killed(home: Path) -> None:
    with serving(home, "--workers", "2") as running:
        running.process.kill()
        running.process.wait(PATIENCE)
        eventually(lambda: not any(_runs(pid) for pid in running.workers), "no worker runs")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_bound_command_ends_with_its_parent() -> None:
    program = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-m', 'mfserve_server.bound', str(os.getpid()), '/bin/sleep', '600']\n"
        "print(subprocess.Popen(command).pid, flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        eventually(lambda: psutil.Process(pid).name() == "sleep", "the child runs")
        parent.kill()
    eventually(lambda: not _runs(pid), "the child has ended")


def _runs(pid: int) -> bool:
    """A zombie, which only its new parent can bury, does not run."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_server_process_maps_the_snapshot_and_has_no_tensorflow(home: Path) -> None:
    with serving(home) as running:
        running.recommend()
        for pid in (running.process.pid, *running.workers):
            maps = Path(f"/proc/{pid}/maps").read_text()
            assert not any(name in maps for name in ("tensorflow", "pandas", "sklearn"))
        assert str(home / "snapshots") in Path(f"/proc/{running.workers[0]}/maps").read_text()


def test_what_a_server_process_imports_never_reaches_the_trainers_packages() -> None:
    program = (
        "import sys, mfserve_server.worker, mfserve_server.cli, mfserve_server.supervisor\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    modules = set(output.split())
    assert "grpc" in modules
    assert (
        modules & {"tensorflow", "keras", "pandas", "sklearn", "mfserve_trainer", "pyarrow", "alembic"}
        == set()
    )


ANSWERING = """
import asyncio, sys
from pathlib import Path
import grpc.aio
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_server.opening import open_registry
from mfserve_server.service import Service
from mfserve_server.settings import Settings

async def main(home):
    settings = Settings(home=home, port=0)
    with open_registry(settings, migrate=False) as registry:
        service = Service(settings, registry)
        port = await service.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            request = pb.RecommendRequest(model_spec=ModelSpec(model="movies"), user_id="nobody")
            answer = await RecommendationServiceStub(channel).Recommend(request)
        await service.stop()
    print(len(answer.recommendations), *{name.partition(".")[0] for name in sys.modules})

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_server_process_that_has_answered_never_imported_tensorflow(home: Path) -> None:
    output = subprocess.run(
        [sys.executable, "-c", ANSWERING, str(home)], check=True, capture_output=True, text=True
    ).stdout
    recommended, *modules = output.splitlines()[-1].split()  # after the log
    assert int(recommended) > 0
    assert {"grpc", "numpy", "mfserve_scoring"} <= set(modules)
    assert not {"tensorflow", "keras", "pandas", "sklearn", "mfserve_trainer"} & set(modules)


def test_a_port_that_is_taken_and_a_bad_setting_give_one_line(home: Path) -> None:
    with serving(home) as running:
        port = running.address.rpartition(":")[2]
        taken = _failing(1, "--port", port, "--home", str(home))
        assert f"Cannot listen on 127.0.0.1:{port}" in taken
        assert running.process.poll() is None
    assert "--workers is wrong" in _failing(2, "--workers", "0")
    assert "cannot be used" in _failing(1, "--home", "/dev/null/home")


def test_without_its_database_and_anything_remembered_it_does_not_start(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFSERVE_DATABASE_URL", f"sqlite:///{tmp_path / 'away' / 'registry.db'}")
    assert "is missing or empty" in _failing(1, "--home", str(home), "--port", "0")


def _failing(code: int, *flags: str) -> str:
    result = subprocess.run([*SERVE, *flags], check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert (result.returncode, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_a_person_is_told_where_it_serves(home: Path) -> None:
    command = [*SERVE, "--home", str(home), "--port", "0", "--no-trainer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert line.startswith("mfserve ")
    assert "serves on 127.0.0.1:" in line
    assert line.rstrip().endswith(f"(home {home}, 1 worker)")


def test_a_worker_finds_a_snapshot_that_was_damaged_while_nobody_served(home: Path) -> None:
    with Registry.open(home) as registry:
        digest = registry.models.get_version("movies", 1).digest
        publish(registry, "songs", seed=2)
        (registry.snapshots.path(digest) / "rating_user_factors.npy").unlink()
    with serving(home) as running, running.channel() as channel:
        with pytest.raises(grpc.RpcError) as raised:
            RecommendationServiceStub(channel).Recommend(REQUEST, timeout=PATIENCE)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        songs = pb.RecommendRequest(model_spec=common_pb2.ModelSpec(model="songs"), user_id="u1")
        assert RecommendationServiceStub(channel).Recommend(songs, timeout=PATIENCE).recommendations


def test_the_port_is_free_again_at_once(home: Path) -> None:
    with serving(home) as running:
        running.recommend()
        host, _, port = running.address.rpartition(":")
    with socket.create_server((host, int(port))):
        pass
