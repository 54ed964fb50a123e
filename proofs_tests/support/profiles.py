"""How many examples: `--hypothesis-profile=default|ci|deep|mutants|mutants-few`."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings

ARCHITECTURES = 24  # per property in the default run; every one stands for several cases
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def examples() -> int:
    """Of the profile that is loaded while a test's module is imported."""
    assert settings.default is not None
    return settings.default.max_examples


def fewer(test: Callable[..., None]) -> Callable[..., None]:
    """A third of the profile's examples, for controls."""
    return settings(max_examples=examples() // 3)(test)


def half(test: Callable[..., None]) -> Callable[..., None]:
    """Half of the profile's examples, for claims of several parts and for large networks."""
    return settings(max_examples=examples() // 2)(test)


def more(test: Callable[..., None]) -> Callable[..., None]:
    """Four times the profile's examples, for tests that compile nothing."""
    return settings(max_examples=4 * examples())(test)


def register() -> None:
    """Declares the profiles; compilation would trip any deadline."""
    common = settings(deadline=None, suppress_health_check=QUIET, max_examples=ARCHITECTURES)
    settings.register_profile("default", common)
    settings.register_profile("ci", common, derandomize=True, database=None)
    settings.register_profile("deep", common, max_examples=640)
    mutants = settings(common, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
    settings.register_profile("mutants", mutants)
    settings.register_profile("mutants-few", mutants, max_examples=ARCHITECTURES // 4)
    settings.load_profile("default")
