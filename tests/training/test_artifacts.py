"""A version's files and what is told of them: checked at every load, downloaded, deleted, described."""

import io
import tarfile
from pathlib import Path

import pytest
from django.test import Client
from django.utils import translation

from annotation import progress
from annotation.models import AuditEntry, Project, User
from annotation.progress import Work
from tests.training import rows
from tests.training.fence import Cast, check
from training import actions, archives, artifacts
from training.model_card import markdown
from training.models import ModelVersion, Review, Run, Snapshot, SnapshotJudgment
from training.tasks import execute_run


@pytest.fixture
def admin(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


def spoil(version: ModelVersion) -> None:
    """One byte of the weights turns, as on a bad disk."""
    weights = next(version.folder.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def test_a_turned_byte_is_found(base: ModelVersion) -> None:
    pieces: list[None] = []
    artifacts.verify(base, between=lambda: pieces.append(None))
    assert pieces, "whoever waits is called meanwhile"
    spoil(base)
    with pytest.raises(ValueError, match="their checksum differs"):
        artifacts.verify(base)
    base.location = "/nowhere"
    with pytest.raises(ValueError, match="are gone"):
        artifacts.verify(base)
    base.revision = "0123abc"
    artifacts.verify(base)


@pytest.mark.parametrize("role", ["model", "reference", "reward_model", "watcher"])
def test_no_run_starts_from_changed_files(run: Run, nano_policy: Path, role: str) -> None:
    """Whichever of the versions that it loads has changed."""
    other = actions.register_version(run.project, path=nano_policy, name="other", kind="base")
    Run.objects.filter(pk=run.pk).update(**{role: other})
    spoil(other)
    execute_run(run.pk)
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert "their checksum differs" in run.error
    assert not (run.folder / "config.json").exists(), "the trainer was not reached"


def test_a_download_holds_the_files_and_the_card(admin: Client, base: ModelVersion, dana: User, tmp_path: Path) -> None:
    answer = admin.post(f"/models/{base.pk}/download/")
    assert answer.status_code == 200 and answer["Content-Type"] == "application/x-tar"
    whole = answer.getvalue()
    assert int(answer["Content-Length"]) == len(whole), "a browser says by it how long the rest takes"
    told = progress.read(Work.MODEL, dana)
    assert told is not None and told.is_over and told.done == told.total > 0, "of the checksum, which comes first"
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    out = tmp_path / "out" / "starter"
    card = (out / "README.md").read_text()
    (out / "README.md").unlink()
    assert artifacts.checksum(out) == base.checksum
    assert "# starter" in card
    entry = AuditEntry.objects.get(verb="model.downloaded")
    assert entry.details["checksum"] == base.checksum


def test_changed_files_are_not_downloaded(admin: Client, base: ModelVersion) -> None:
    spoil(base)
    text = admin.post(f"/models/{base.pk}/download/", follow=True).content.decode()
    assert "their checksum differs" in text
    ModelVersion.objects.update(revision="0123abc", location="org/model")
    text = admin.post(f"/models/{base.pk}/download/", follow=True).content.decode()
    assert "is a model of a hub" in text


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, archives.READ_BYTES + 7])
def test_a_tar_is_whole_at_every_size(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights").write_bytes(b"x" * size)
    (tmp_path / "z").write_bytes(b"last")
    whole = b"".join(archives.tar_of(tmp_path, name="m", extra={"README.md": b"card"}))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert found == {"m/README.md": b"card", "m/a/weights": b"x" * size, "m/z": b"last"}
    assert len(whole) % tarfile.RECORDSIZE == 0
    assert len(whole) == archives.size_of(tmp_path, name="m", extra={"README.md": b"card"})


def test_a_version_that_is_used_stays(project: Project, dana: User) -> None:
    base, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    rows.generations(tuned, scorer=scorer, prompts=rows.prompts(project), shift=0.1)
    actions.open_review(base, tuned, by=dana)
    with pytest.raises(ValueError) as refusal:
        actions.delete_version(base, by=dana)
    for part in ("2 versions that came of it", "2 runs that used it", "1 review"):
        assert part in str(refusal.value)
    with pytest.raises(ValueError, match="4 answers it wrote"):
        actions.delete_version(tuned, by=dana)
    with pytest.raises(ValueError, match="runs that used it"):
        actions.delete_version(scorer, by=dana)
    ModelVersion.objects.filter(pk=scorer.pk).update(stage="production")
    scorer.refresh_from_db()
    with pytest.raises(ValueError, match="is in production"):
        actions.delete_version(scorer, by=dana)
    assert ModelVersion.objects.count() == 3


def test_a_version_that_nothing_needs_goes_with_its_files(
    admin: Client, base: ModelVersion, django_capture_on_commit_callbacks
) -> None:  # type: ignore[no-untyped-def]
    folder = base.folder
    assert folder.is_dir()
    with django_capture_on_commit_callbacks(execute=True):
        text = admin.post(f"/models/{base.pk}/delete/", follow=True).content.decode()
    assert "starter is deleted." in text
    assert not folder.exists() and not ModelVersion.objects.exists()
    assert AuditEntry.objects.get(verb="model.deleted").details["checksum"] == base.checksum


def test_files_of_others_are_left_alone(
    project: Project, dana: User, tmp_path: Path, django_capture_on_commit_callbacks
) -> None:  # type: ignore[no-untyped-def]
    theirs = tmp_path / "elsewhere"
    theirs.mkdir()
    version = ModelVersion.objects.create(project=project, name="x", kind="base", location=str(theirs))
    with django_capture_on_commit_callbacks(execute=True):
        actions.delete_version(version, by=dana)
    assert theirs.is_dir()


def test_the_card_tells_all(project: Project, alice: User, bob: User, dana: User, admin: Client) -> None:
    base, frozen = rows.base(project), rows.snapshot(project, num_simulated=7)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    prompts = rows.prompts(project, 4)
    said = [*rows.label(project, by=alice, prompts=prompts[:2]), *rows.label(project, by=bob, prompts=prompts[2:])]
    SnapshotJudgment.objects.bulk_create(SnapshotJudgment(snapshot=frozen, judgment=each) for each in said)
    review = actions.open_review(base, tuned, by=dana)
    actions.close_review(review, status="approved", by=dana, reason="Kinder | <b>shorter</b>")
    assert tuned.run
    tuned.run.config |= {"forbidden_pattern": "as|an AI", "own_reward": ""}
    tuned.run.save(update_fields=["config"])
    tuned.run.refresh_from_db()  # the database keeps the settings in an order of its own
    card = markdown(tuned)
    for part in (
        "library_name: transformers", "simulated-labels",
        "# policy", "judgments 540, pairs 540, prompts 40, demonstrations 0", "2 people judged.",
        "7 of its judgments are simulated", "Two people agree on 64.0 % (95 % interval 50.0 to 76.0)", "`kl_coef`",
        "`reward/mean`: 0.9", "Against starter: approved. Kinder \\| \\<b\\>shorter", "tuned against a reward model",
        "| `forbidden_pattern` | as\\|an AI |", "| `own_reward` | – |",
    ):  # fmt: skip
        assert part in card, part
    assert "Accuracy on held-out pairs: 81.0 % (95 % interval 72.0 to 88.0)" in markdown(scorer)
    assert "No labels behind it." in markdown(base)
    page = admin.get(f"/models/{tuned.pk}/card/").content.decode()
    assert "Model card of policy" in page and "<b>shorter" not in page
    file = admin.get(f"/models/{tuned.pk}/card.md")
    assert file.content.decode() == card and "attachment" in file["Content-Disposition"]


def test_the_card_speaks_the_readers_language_and_its_file_the_sites(admin: Client, base: ModelVersion) -> None:
    there = f"/models/{base.pk}/card"
    names = {}
    for language in ("en", "zh-hans"):
        with translation.override(language):
            names[language] = str(base.get_kind_display())
    page = admin.get(f"{there}/", headers={"accept-language": "zh-hans"}).content.decode()
    file = admin.get(f"{there}.md", headers={"accept-language": "zh-hans"}).content.decode()
    assert names["zh-hans"] in page and names["zh-hans"] not in file
    assert f"| {names['en']} |" in file and "library_name: transformers" in file


def test_fences(cast: Cast, base: ModelVersion) -> None:
    check(cast, f"/models/{base.pk}/card/")
    check(cast, f"/models/{base.pk}/card.md")
    for verb in ("download", "delete"):
        check(cast, f"/models/{base.pk}/{verb}/", admin_only=True, method="post", allows="POST")
    assert Review.objects.count() == Snapshot.objects.count() == 0
