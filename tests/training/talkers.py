"""Versions that talk: small models of tests/rlhf/talkers.py, and how long they may."""

from pathlib import Path
from typing import Any

from annotation.models import Project
from training import actions
from training.models import ModelVersion

SHORT = {"max_response_tokens": 24, "device": "cpu", "num_threads": 1}
ENDLESS = {"max_response_tokens": 60_000, "device": "cpu", "num_threads": 1}
"""Minutes of writing, so that whatever is to happen in between does."""


def talker(project: Project, place: Path, *, name: str, seed: int, **settings: Any) -> ModelVersion:
    from tests.rlhf.talkers import save_talker  # noqa: PLC0415 - loads torch, which most tests here do not need

    version = actions.register_version(project, path=save_talker(place / name, seed=seed), name=name, kind="base")
    return talks(version, **settings)


def talks(version: ModelVersion, **settings: Any) -> ModelVersion:
    """From now on with these settings."""
    version.presets = {"generate": {**SHORT, **settings}}
    version.save(update_fields=["presets"])
    return version
