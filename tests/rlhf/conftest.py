"""Fixtures that every trainer test shares."""

import os
from pathlib import Path

import pytest

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # before torch: spinning threads starve each other on a busy machine


@pytest.fixture(scope="session")
def nano_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a two-layer causal model with its tokenizer."""
    from tests.rlhf.nano import save_nano_policy  # noqa: PLC0415 - loads torch, which config and rundir tests do not need

    return save_nano_policy(tmp_path_factory.mktemp("nano") / "policy")


@pytest.fixture(scope="session")
def oracle() -> Path:
    """Folder of the numbers of an independent implementation; its tests are skipped where it is absent."""
    beside = Path(__file__).parents[2].parent / "shared"
    folder = Path(os.environ.get("PLUMBLINE_SHARED", beside)) / "oracle"
    if not folder.is_dir():
        pytest.skip(f"no golden numbers of an independent implementation at {folder}; set PLUMBLINE_SHARED")
    return folder
