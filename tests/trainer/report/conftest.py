"""One holdout fit for all tests of its report."""

from __future__ import annotations

import pytest

from tests.trainer.report.samples import Sample, sample


@pytest.fixture(scope="package")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return sample(tmp_path_factory.mktemp("fit"))
