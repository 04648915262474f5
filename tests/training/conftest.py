"""The cast of the training tests, a project with a base model of two layers, and folders of their own."""

from pathlib import Path
from typing import Any

import pytest

from annotation.models import Membership, Project, Role, User
from tests.training import rows
from tests.training.fence import Cast
from training import actions
from training.models import Chat, ModelVersion, Run, Snapshot
from training.rlhf.rundir import write_jsonl


@pytest.fixture(autouse=True)
def own_folders(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    settings.RUNS_DIR = tmp_path / "runs"
    settings.MODELS_DIR = tmp_path / "models"


@pytest.fixture(scope="session")
def nano_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a two-layer causal model with its tokenizer."""
    from tests.rlhf.nano import save_nano_policy  # noqa: PLC0415 - loads torch, which most tests here do not need

    return save_nano_policy(tmp_path_factory.mktemp("nano") / "policy")


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(slug="support", name="Support replies")


def member(project: Project, name: str, role: Role) -> User:
    user = User.objects.create_user(name)
    Membership.objects.create(project=project, user=user, role=role)
    return user


@pytest.fixture
def alice(project: Project) -> User:
    return member(project, "alice", Role.ANNOTATOR)


@pytest.fixture
def bob(project: Project) -> User:
    return member(project, "bob", Role.REVIEWER)


@pytest.fixture
def charlie(db: None) -> User:
    """A stranger to the project."""
    return User.objects.create_user("charlie")


@pytest.fixture
def dana(project: Project) -> User:
    return member(project, "dana", Role.ADMIN)


@pytest.fixture
def cast(alice: User, bob: User, charlie: User, dana: User) -> Cast:
    return Cast(alice, bob, charlie, dana)


@pytest.fixture
def base(project: Project, nano_policy: Path) -> ModelVersion:
    return actions.register_version(project, path=nano_policy, name="starter", kind="base")


@pytest.fixture
def a(project: Project) -> ModelVersion:
    return rows.base(project, "zebra-a")


@pytest.fixture
def b(project: Project) -> ModelVersion:
    return rows.base(project, "zebra-b")


@pytest.fixture
def blind(project: Project, a: ModelVersion, b: ModelVersion, bob: User) -> Chat:
    return actions.start_chat(project, a=a, b=b, by=bob, text="Where is my parcel?")


@pytest.fixture
def single(project: Project, a: ModelVersion, bob: User) -> Chat:
    return actions.start_chat(project, a=a, b=None, by=bob, text="Where is my parcel?")


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    """A row without files: enough wherever no trainer reads it."""
    return Snapshot.objects.create(project=project, content_hash="0" * 64, counts={"pairs": 40, "demonstrations": 0})


@pytest.fixture
def run(project: Project, base: ModelVersion, snapshot: Snapshot, dana: User) -> Run:
    """A queued reward run."""
    return actions.start_run(project, kind="reward", config={"epochs": 2}, by=dana, snapshot=snapshot, model=base)


@pytest.fixture
def frozen(project: Project, settings: Any) -> Snapshot:
    """A snapshot with its files: pairs in which the digit wins, demonstrations, prompts."""
    from tests.rlhf.nano import demonstration_lines, preference_lines  # noqa: PLC0415 - loads torch

    pairs, demonstrations = preference_lines(), demonstration_lines()
    prompts = [{"id": line["prompt_id"], "messages": line["prompt"], "split": line["split"]} for line in pairs]
    folder = settings.VAR_DIR / "snapshots" / ("1" * 64)
    folder.mkdir(parents=True)
    files = {"preferences": pairs, "prompts": prompts, "demonstrations": demonstrations}
    for name, lines in files.items():
        write_jsonl(folder / f"{name}.jsonl", lines)
    counts = {"pairs": len(pairs), "demonstrations": len(demonstrations), "prompts": len(prompts)}
    return Snapshot.objects.create(project=project, content_hash="1" * 64, counts=counts)


@pytest.fixture
def sft_run(project: Project, base: ModelVersion, frozen: Snapshot, dana: User) -> Run:
    """A queued run of two hundred quick steps, with a checkpoint every ten."""
    config = {"epochs": 200, "max_steps": 200, "batch_size": 4, "checkpoint_every": 10, "device": "cpu"}
    return actions.start_run(project, kind="sft", config=config, by=dana, snapshot=frozen, model=base)
