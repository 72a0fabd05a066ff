"""Which package may import which: the arrows of the architecture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.packaging.imports import PACKAGES, Import, imports_of

TENSORFLOW = ["tensorflow", "keras", "tensorboard"]

FORBIDDEN = {
    "mfserve": ["mfserve_registry", "mfserve_scoring", "mfserve_server", "mfserve_trainer", *TENSORFLOW],
    "mfserve_registry": [
        "grpc",
        "mfserve",
        "mfserve_scoring",
        "mfserve_server",
        "mfserve_trainer",
        *TENSORFLOW,
    ],
    "mfserve_scoring": ["mfserve", "mfserve_server", "mfserve_trainer", *TENSORFLOW],
    "mfserve_server": ["mfserve_trainer", "pandas", "sklearn", *TENSORFLOW],
    "mfserve_trainer": ["mfserve_server"],
}


def _named(found: Sequence[Import]) -> list[str]:
    return [f"{each.place} imports {each.module}" for each in found]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_nothing_that_its_arrows_forbid(package: str) -> None:
    assert not _named([each for each in imports_of(package) if each.package in FORBIDDEN[package]])


def test_scoring_needs_numpy_and_the_registry_only() -> None:
    allowed = {"numpy", "mfserve_registry", "mfserve_scoring"} | set(sys.stdlib_module_names)
    found = [each for each in imports_of("mfserve_scoring") if each.package not in allowed]
    # And FAISS, where a version has an approximate index and the extra is installed.
    assert not _named([each for each in found if (each.package, each.when) != ("faiss", "call")])


def test_the_client_imports_no_array_library_before_it_needs_one() -> None:
    heavy = {"numpy", "opentelemetry", "pandas", "pyarrow"}
    found = [each for each in imports_of("mfserve") if each.package in heavy and each.when == "import"]
    assert not _named(found)


# Import names of the distributions that each package may rely on: those of its extra in pyproject.toml.
BASE = {"grpc", "grpc_status", "google", "rich", "typer"}
SHARED = {
    "alembic",
    "numpy",
    "obstore",
    "psycopg",
    "pyarrow",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "sqlalchemy",
    "structlog",
    "opentelemetry",
}
DECLARED = {
    # The latter four only inside functions, see above.
    "mfserve": BASE | {"numpy", "pyarrow", "pandas", "opentelemetry"},
    "mfserve_registry": BASE | SHARED,
    "mfserve_scoring": {"numpy", "faiss"},  # the latter only inside a function, see above
    "mfserve_server": BASE
    | SHARED
    | {"cryptography", "grpc_health", "grpc_reflection", "prometheus_client", "uvloop"},
    "mfserve_trainer": BASE
    | SHARED
    | {
        "bokeh",
        "faiss",
        "jinja2",
        "keras",
        "optuna",
        "pandas",
        "platformdirs",
        "scipy",
        "sklearn",
        "tensorboard",
        "tensorflow",
    }
    | {"threadpoolctl"},
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_its_extra_declares(package: str) -> None:
    known = DECLARED[package] | set(PACKAGES) | set(sys.stdlib_module_names)
    assert not _named(
        [each for each in imports_of(package) if each.package not in known and each.when != "typing"]
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_is_read(package: str) -> None:
    # Guards the tests above: a moved folder would make them pass on nothing.
    assert any(each.package == "__future__" for each in imports_of(package))


LOADED = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    # A __main__ and Alembic's env.py are programs: they act when they are imported.
    if not module.name.endswith(("__main__", "migrations.env")):
        importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def _loaded_by(package: str) -> set[str]:
    return set(
        subprocess.run(
            [sys.executable, "-c", LOADED, package], check=True, capture_output=True, text=True
        ).stdout.split()
    )


@pytest.mark.parametrize("package", ["mfserve", "mfserve_registry", "mfserve_scoring", "mfserve_server"])
def test_importing_every_module_loads_nothing_forbidden_through_others(package: str) -> None:
    loaded = _loaded_by(package)
    assert package in loaded
    assert not loaded & set(FORBIDDEN[package])


def test_importing_every_module_of_the_client_loads_no_array_library() -> None:
    assert not _loaded_by("mfserve") & {"numpy", "opentelemetry", "pandas", "pyarrow"}


def test_opentelemetry_is_imported_by_nobody_who_does_not_ask_for_traces() -> None:
    processes = "import sys, mfserve_server.worker, mfserve_trainer.worker, mfserve_trainer.fit_process"
    code = f"{processes}; sys.exit('opentelemetry' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
