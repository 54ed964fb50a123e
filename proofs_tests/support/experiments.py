"""Trainings as runs keep them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from shiftjax._experiments.experiment import Scene, Training


def settings(kept: dict[str, Any]) -> dict[str, Any]:
    """All options of a training that was kept; one that did not exist then had its default."""
    return plain(Training(**{**kept, "scene": Scene(**kept["scene"])}))


def plain(training: Training) -> dict[str, Any]:
    """A training's options as JSON holds them."""
    return dict(json.loads(json.dumps(asdict(training))))
