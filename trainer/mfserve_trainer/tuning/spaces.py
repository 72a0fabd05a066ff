"""The parameters that matter, engine by engine, and between which values they are searched.

An engine is made tunable by its line in ``SPACES``. What a table does not name stays as it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from optuna.distributions import FloatDistribution, IntDistribution

from mfserve_registry.spec import AlsConfig, BayesConfig, IalsConfig, KerasConfig

Distribution = IntDistribution | FloatDistribution
ConfigT = TypeVar("ConfigT", KerasConfig, AlsConfig, BayesConfig, IalsConfig)

SPACES: Mapping[type[Any], Mapping[str, Distribution]] = {
    AlsConfig: {
        "factors": IntDistribution(4, 64, log=True),
        "regularization": FloatDistribution(0.03, 0.5, log=True),
    },
    BayesConfig: {
        "factors": IntDistribution(6, 32, log=True),
        "interaction_features": IntDistribution(0, 128),
    },
    IalsConfig: {
        "factors": IntDistribution(8, 128, log=True),
        "regularization": FloatDistribution(1.5, 25.0, log=True),
        "unobserved_weight": FloatDistribution(0.05, 2.0, log=True),
        "frequency_exponent": FloatDistribution(0.0, 1.2),
    },
    KerasConfig: {
        "factors": IntDistribution(4, 64, log=True),
        "epochs": IntDistribution(5, 40, log=True),
        "learning_rate": FloatDistribution(3e-4, 3e-2, log=True),
        "l2": FloatDistribution(0.0, 0.2),
    },
}
"""By the engine's configuration."""


def space_around(config: ConfigT) -> dict[str, Distribution]:
    """The engine's table, each range stretched to reach the value that was given."""
    return {name: _reaching(known, getattr(config, name)) for name, known in SPACES[type(config)].items()}


def with_parameters(config: ConfigT, parameters: Mapping[str, Any]) -> ConfigT:
    """The configuration with these values in place of its own."""
    return type(config).model_validate({**config.model_dump(), **parameters})


def parameters_of(config: ConfigT) -> dict[str, Any]:
    """The values that the search starts from."""
    return {name: getattr(config, name) for name in SPACES[type(config)]}


def _reaching(known: Distribution, value: Any) -> Distribution:
    return type(known)(min(known.low, value), max(known.high, value), log=known.log)
