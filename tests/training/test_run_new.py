"""/runs/new/: the form drawn from the config, its sentences, the run it starts."""

import json
import math
from pathlib import Path

import pytest
from django.test import Client

from annotation.models import Project, User
from annotation.templatetags import measures
from tests.training import rows
from tests.training.fence import Cast, check
from training.forms import ESSENTIAL, RunForm
from training.models import ModelVersion, Run, Snapshot
from training.rlhf.config import KINDS, describe
from training.views.runs import KIND_HELP


@pytest.fixture
def admin(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


@pytest.fixture
def starter(project: Project) -> ModelVersion:
    return rows.base(project)


@pytest.fixture
def frozen(project: Project) -> Snapshot:
    return rows.snapshot(project, num_simulated=7)


def settings_of(kind: str) -> dict[str, str]:
    """What a browser sends when nobody changed anything."""
    sent = {}
    for setting in describe(KINDS[kind]):
        if setting.filled_by_app or setting.default is False:
            continue
        sent[setting.name] = "on" if setting.default is True else str(setting.default)
    return sent


def test_it_works(
    admin: Client, starter: ModelVersion, frozen: Snapshot, dana: User, django_capture_on_commit_callbacks
) -> None:  # type: ignore[no-untyped-def]
    address = f"/runs/new/?kind=reward&project=support&snapshot={frozen.pk}"
    text = admin.get(address).content.decode()
    for part in ("7 simulated", "432", "learning_rate", "Preference pairs per optimizer step", "label_smoothing"):
        assert part in text
    sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": starter.pk, "epochs": "3"}
    with django_capture_on_commit_callbacks() as to_send:
        answer = admin.post(address, sent)
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.kind, run.status, run.model, run.snapshot, run.created_by) == (
        "reward", "queued", starter, frozen, dana,
    )  # fmt: skip
    assert run.config["epochs"] == 3
    assert run.config["keep_best"] is True
    assert len(to_send) == 1, "the workers are told, once the row is there"


@pytest.mark.parametrize("kind", list(KIND_HELP))
def test_every_kind_is_drawn_whole_and_its_defaults_are_accepted(
    kind: str, project: Project, starter: ModelVersion, frozen: Snapshot
) -> None:
    scorer = rows.reward_model(project, model=starter, snapshot=frozen)
    sent = {**settings_of(kind), "snapshot": frozen.pk, "model": starter.pk, "reward_model": scorer.pk}
    form = RunForm(sent, project=project, kind=kind)
    assert form.is_valid(), form.errors
    asked = {setting.name for setting in describe(KINDS[kind]) if not setting.filled_by_app}
    assert asked <= set(form.fields)
    assert len(form.essential) + len(form.others) == len(asked)
    assert set(ESSENTIAL[kind]) <= asked


def test_newer_labels_are_spoken_of_only_when_there_are_any(
    admin: Client, project: Project, frozen: Snapshot, alice: User
) -> None:
    address = f"/runs/new/?kind=reward&project=support&snapshot={frozen.pk}"
    assert "Newer labels" not in admin.get(address).content.decode()
    rows.label(project, by=alice, prompts=rows.prompts(project, 1))
    assert "Newer labels" in admin.get(address).content.decode()


def test_fence(cast: Cast) -> None:
    check(cast, "/runs/new/?kind=reward&project=support", admin_only=True, allows="GET, POST")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("learning_rate", "-1", "learning_rate must be above 0, got -1."),
        ("learning_rate", "abc", "learning_rate must be a number, got &#x27;abc&#x27;."),
        ("epochs", "1.5", "epochs must be a whole number, got 1.5."),
        ("device", "tpu", "device must be one of auto, cpu, cuda"),
        ("lora_dropout", "0.1", "lora_dropout must be 0, got 0.1"),
    ],
)
def test_bad_input_shows_the_configs_own_sentence(  # type: ignore[no-untyped-def]
    admin: Client, starter: ModelVersion, frozen: Snapshot, field: str, value: str, sentence: str
) -> None:
    sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": starter.pk, field: value}
    answer = admin.post("/runs/new/?kind=reward&project=support", sent)
    text = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in text
    assert sentence[:20] in answer.context["form"].errors.get(field, [""])[0], "beside the field it speaks of"
    assert f'value="{value}"' in text or field == "device", "what was typed is kept"
    assert not Run.objects.exists()


def test_an_error_below_the_fold_opens_it(admin: Client, starter: ModelVersion, frozen: Snapshot) -> None:
    sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": starter.pk, "adam_eps": "0"}
    answer = admin.post("/runs/new/?kind=reward&project=support", sent)
    assert '<details class="foldable" open>' in answer.content.decode()


def test_a_field_left_empty_takes_its_default(admin: Client, starter: ModelVersion, frozen: Snapshot) -> None:
    sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": starter.pk, "batch_size": ""}
    admin.post("/runs/new/?kind=reward&project=support", sent)
    assert Run.objects.get().config["batch_size"] == 32


def test_without_a_snapshot_or_a_model(admin: Client, project: Project) -> None:
    page = admin.get("/runs/new/?kind=reward&project=support").content.decode()
    assert "No snapshot yet" in page
    text = admin.post("/runs/new/?kind=reward&project=support", settings_of("reward")).content.decode()
    assert "Choose the snapshot to train on" in text
    assert "Choose a model to start from" in text


def test_a_verbs_own_sentence_is_shown(admin: Client, starter: ModelVersion, frozen: Snapshot) -> None:
    """The snapshot holds no demonstrations: only start_run knows that fine-tuning needs them."""
    sent = {**settings_of("sft"), "snapshot": frozen.pk, "model": starter.pk}
    answer = admin.post("/runs/new/?kind=sft&project=support", sent)
    assert answer.status_code == 422
    assert "holds no demonstrations" in answer.content.decode()


def test_versions_and_snapshots_of_other_projects_are_no_choice(
    admin: Client, starter: ModelVersion, frozen: Snapshot
) -> None:
    other = Project.objects.create(slug="secret", name="Secret")
    theirs = rows.base(other, "theirs")
    sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": theirs.pk}
    assert admin.post("/runs/new/?kind=reward&project=support", sent).status_code == 422
    assert not Run.objects.exists()


def test_without_a_kind_it_asks_for_one(admin: Client, project: Project) -> None:
    text = admin.get("/runs/new/").content.decode()
    assert all(f'value="{kind}"' in text for kind in KIND_HELP)
    assert 'name="project" value="support"' in text, "the only project is taken"


def test_rerun_takes_over_everything(admin: Client, starter: ModelVersion, frozen: Snapshot) -> None:
    earlier = rows.run(starter.project, "reward", model=starter, snapshot=frozen, config={"epochs": 7, "seed": 5})
    page = admin.get(f"/runs/new/?from={earlier.pk}")
    text = page.content.decode()
    assert f"settings taken over from run {earlier.pk}" in text
    form = page.context["form"]
    assert (form["epochs"].value(), form["seed"].value(), form["model"].value()) == (7, 5, starter.pk)
    sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": starter.pk, "epochs": "8"}
    admin.post(f"/runs/new/?from={earlier.pk}", sent)
    assert Run.objects.latest("pk").config["epochs"] == 8


def test_rerun_of_a_strangers_run(client: Client, charlie: User, starter: ModelVersion) -> None:
    earlier = rows.run(starter.project, "reward", model=starter)
    client.force_login(charlie)
    assert client.get(f"/runs/new/?from={earlier.pk}").status_code == 404


def tiny_model(folder: Path) -> Path:
    """As much of a model's folder as tells its size: 2 layers of width 8 over 32 tokens."""
    shapes = {"model.embed_tokens.weight": [32, 8], "lm_head.weight": [32, 8]}
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.mlp.{name}.weight": [16, 8] for name in ("gate_proj", "up_proj", "down_proj")}
    header = json.dumps(
        {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    )
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    config = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 16}
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 32}))
    return folder


def test_the_memory_is_told_before_the_launch_and_again_with_every_change(
    admin: Client, project: Project, starter: ModelVersion, frozen: Snapshot, tmp_path: Path
) -> None:
    address = "/runs/new/?kind=reward&project=support"
    page = admin.get(f"{address}&snapshot={frozen.pk}").content.decode()
    assert 'hx-get="/runs/new/?project=support&amp;kind=reward"' in page and "Memory it may need" not in page

    def asked(**changes: object) -> str:
        sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": starter.pk, **changes}
        answer = admin.get(address, {"kind": "reward", "project": "support", **sent}, headers={"HX-Request": "true"})
        assert answer.status_code == 200 and "<html" not in answer.content.decode()
        return answer.content.decode()

    assert "Memory it may need" not in asked(), "the weights of this model are not here"
    starter.location = str(tiny_model(tmp_path))
    starter.save()
    needed = asked()
    assert "Memory it may need" in needed and "activations" in needed and "sampling" not in needed
    assert "all, at its peak" in asked(batch_size="1") != needed
    assert "Memory it may need" not in asked(batch_size="0"), "a wrong setting is told of when the run is started"
    assert not Run.objects.exists()


def test_the_time_is_told_by_the_pace_of_a_run_like_it(
    admin: Client, project: Project, starter: ModelVersion, frozen: Snapshot
) -> None:
    def asked(**changes: object) -> str:
        sent = {**settings_of("reward"), "snapshot": frozen.pk, "model": starter.pk, "batch_size": "16", **changes}
        address = f"/runs/new/?kind=reward&project={project.slug}"
        return admin.get(address, sent | {"kind": "reward"}, headers={"HX-Request": "true"}).content.decode()

    assert "Time it may take" not in asked(), "nothing like it has run yet"
    learned = rows.reward_model(project, model=starter, snapshot=frozen)
    learned.run.config = {"batch_size": 16}
    learned.run.save()
    num_steps = math.ceil(frozen.counts["splits"]["train"]["pairs"] / 16)
    assert f"About {measures.duration(num_steps)}, at the pace of" in asked(epochs="1"), "40 steps took 39 seconds"
    assert f"About {measures.duration(3 * num_steps)}, at" in asked(epochs="3")
    assert f'href="/runs/{learned.run_id}/"' in asked() and "Time it may take" not in asked(batch_size="0")
