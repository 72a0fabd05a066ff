from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mfserve._client.credentials import VARIABLES
from mfserve_registry.collection_cli import Settings as CollectionSettings
from mfserve_registry.commands import tell_of_data_roots
from mfserve_registry.setting_faults import ALL_SETTINGS, unknown_variables
from mfserve_registry.settings import SettingsError, StartError, load_settings
from mfserve_registry.traces import require_traces
from mfserve_server.settings import Settings
from mfserve_server.supervisor import trainer_environment
from mfserve_server.threads import cores, worker_environment
from mfserve_trainer.settings import Settings as TrainerSettings


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MFSERVE_")]:
        monkeypatch.delenv(name)


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mfserve.toml"
    file.write_text('port = 1\nworkers = 2\npoll_seconds = 3.0\ndata_roots = ["/data"]\n')
    monkeypatch.setenv("MFSERVE_PORT", "4")
    monkeypatch.setenv("MFSERVE_WORKERS", "5")
    settings = load_settings(Settings, {"port": 6, "workers": None}, file)
    assert (settings.port, settings.workers, settings.poll_seconds, settings.drain_seconds) == (
        6,
        5,
        3.0,
        10.0,
    )
    assert settings.data_roots == (Path("/data"),)


def test_data_roots_are_separated_as_paths_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MFSERVE_DATA_ROOTS", os.pathsep.join(["/data", "here", ""]))
    assert load_settings(Settings, {}, None).data_roots == (Path("/data"), tmp_path / "here")
    assert load_settings(Settings, {"data_roots": "/other"}, None).data_roots == (Path("/other"),)


def test_home_is_by_default_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert load_settings(Settings, {}, None).home == Path("/somewhere/mfserve")


@pytest.mark.parametrize(
    ("flags", "environment", "file", "says"),
    [
        ({"port": 70000}, {}, None, "--port is wrong"),
        ({"data_roots": ("/a", 5, 6)}, {}, None, "--data-roots is wrong"),
        (
            {"store_url": "bucket"},
            {},
            None,
            "--store-url is wrong: A store's URL must look like s3://bucket/prefix",
        ),
        ({}, {"MFSERVE_STORE_URL": "s3://key@bucket"}, None, "MFSERVE_STORE_URL is wrong"),
        ({}, {"MFSERVE_CACHE_BYTES": "-1"}, None, "MFSERVE_CACHE_BYTES is wrong"),
        (
            {"otlp_endpoint": "127.0.0.1:4317"},
            {},
            None,
            "--otlp-endpoint is wrong: A collector's URL must look like http://127.0.0.1:4317",
        ),
        ({}, {"MFSERVE_WORKERS": "many"}, None, "MFSERVE_WORKERS is wrong"),
        ({}, {"mfserve_Workers": "many"}, None, "mfserve_Workers is wrong"),
        ({}, {"MFSERVE_PORT": "http://10.0.0.1:50051"}, None, "MFSERVE_PORT is wrong"),
        ({}, {"MFSERVE_PORT": "tcp://10.0.0.1:50051"}, "port = 70000", "port in FILE is wrong"),
        ({}, {}, "workers = 0", "workers in FILE is wrong"),
        ({}, {}, "worker = 1", "worker in FILE is no setting (did you mean workers?)."),
        ({}, {}, "quux = 1", "quux in FILE is no setting."),
        ({}, {}, "workers = ", "FILE cannot be read: it is no TOML: "),
        ({}, {}, "workers = true", "workers in FILE is wrong: it cannot be true or false"),
        ({}, {}, "callers = 3", "callers in FILE is wrong: it is a path, in quotes."),
        (
            {},
            {"MFSERVE_HOME": ""},
            None,
            "MFSERVE_HOME is wrong: it is empty; give it a value, or leave it out.",
        ),
        ({}, {"MFSERVE_CALLERS": ""}, None, "MFSERVE_CALLERS is wrong: it is empty"),
        (
            {},
            {"MFSERVE_REPLY_CACHE_BYTES": "64MB"},
            None,
            "a number of bytes without a unit, such as 67108864",
        ),
        ({"reply_cache_bytes": 10**18}, {}, None, "a number of bytes at most 1125899906842624 (1 PiB)"),
        ({}, {}, "max_loaded_bytes = inf", "max_loaded_bytes in FILE is wrong: it is a number of bytes"),
        ({}, {}, "reply_cache_bytes = -1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_setting_gives_one_line_that_names_it_and_its_place(
    flags: dict[str, object],
    environment: dict[str, str],
    file: str | None,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = None if file is None else tmp_path / "mfserve.toml"
    if config is not None and file is not None:
        config.write_text(file)
    with pytest.raises(SettingsError) as raised:
        load_settings(Settings, flags, config)
    told = str(raised.value)
    assert says.replace("FILE", str(config)) in told
    assert "\n" not in told


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "mfserve.toml"
    config.write_text("worker = 2\nport = 1\ndrain_seconds = -1\n")
    monkeypatch.setenv("MFSERVE_PORT", "http")
    with pytest.raises(SettingsError) as raised:
        load_settings(Settings, {"log_level": "loud"}, config)
    faults = str(raised.value).removesuffix(".").split("; ")
    assert {fault.partition(" is ")[0] for fault in faults} == {
        "--log-level",
        "MFSERVE_PORT",
        f"drain_seconds in {config}",
        f"worker in {config}",
    }


def test_a_variable_that_is_no_setting_is_told_with_the_nearest_that_is_one() -> None:
    theirs = ["MFSERVE_SERVICE_HOST", "MFSERVE_PORT_50051_TCP", "PROT"]
    commands = ["MFSERVE_ACTOR", "MFSERVE_ADDRESS", "MFSERVE_CONFIG", *VARIABLES.values()]
    used = ["MFSERVE_PORT", "MFSERVE_LEASE_SECONDS", *commands, *theirs]
    assert not unknown_variables(dict.fromkeys(used, "1"))
    assert unknown_variables({"MFSERVE_PROT": "1", "MFSERVE_": "2", "MFSERVE_QUUX": ""}) == {
        "MFSERVE_": "MFSERVE_ is no setting, and is ignored",
        "MFSERVE_PROT": "MFSERVE_PROT is no setting, and is ignored (did you mean MFSERVE_PORT?)",
        "MFSERVE_QUUX": "MFSERVE_QUUX is no setting, and is ignored",
    }


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_the_address_of_a_kubernetes_service_named_mfserve_is_no_port(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFSERVE_PORT", f"{protocol}://10.0.0.1:50051")
    assert load_settings(Settings, {}, None).port == Settings().port
    assert load_settings(Settings, {"port": 6}, None).port == 6


def test_traces_without_what_makes_them_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_traces(Settings(otlp_endpoint="http://127.0.0.1:4317"))
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    require_traces(Settings())
    with pytest.raises(StartError, match=r"mfserve\[otel\]"):
        require_traces(Settings(otlp_endpoint="http://127.0.0.1:4317"))


def test_the_settings_of_all_processes_are_known() -> None:
    assert {
        *Settings.model_fields,
        *TrainerSettings.model_fields,
        *CollectionSettings.model_fields,
    } == ALL_SETTINGS


def test_a_trainer_beside_the_server_does_not_tell_of_it_again(tmp_path: Path) -> None:
    ours = {"MFSERVE_PROT": "1", "MFSERVE_CONFIG": "x", "MFSERVE_LEASE_SECONDS": "3", "PATH": "/bin"}
    store = "s3://bucket/prefix"
    given = trainer_environment(load_settings(Settings, {"home": tmp_path, "store_url": store}, None), ours)
    assert given == {
        "PATH": "/bin",
        "MFSERVE_HOME": str(tmp_path),
        "MFSERVE_STORE_URL": store,
        "MFSERVE_CACHE_BYTES": str(64 * 2**30),
        "MFSERVE_LEASE_SECONDS": "3",
        "MFSERVE_LOG_LEVEL": "info",
        "MFSERVE_LOG_FORMAT": "auto",
    }


def test_a_data_root_that_is_none_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell_of_data_roots("serve", Settings(data_roots=(tmp_path, tmp_path / "typo")))
    assert capsys.readouterr().err == (
        f"mfserve serve: the data root {tmp_path / 'typo'} is no folder, so that no file can be read there\n"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load_settings(Settings, {}, tmp_path / "nowhere.toml")


def test_a_worker_gets_the_same_settings_and_a_log_gets_no_password() -> None:
    settings = load_settings(Settings, {"database_url": "postgresql://user:secret@host/db", "port": 7}, None)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.url == "postgresql://user:secret@host/db"
    assert "secret" not in repr(settings)


def test_workers_share_the_cores() -> None:
    assert worker_environment(1, {})["OPENBLAS_NUM_THREADS"] == str(cores())
    assert worker_environment(10_000, {})["OPENBLAS_NUM_THREADS"] == "1"
    set_already = {"OMP_NUM_THREADS": "3", "MALLOC_TOP_PAD_": "0"}
    assert not set_already.keys() & worker_environment(1, set_already).keys()
