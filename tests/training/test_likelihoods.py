"""Two versions read the answers of both: once, by the real trainer, and seen from either side."""

from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from annotation.models import Project, Prompt, User
from tests.training import rows
from tests.training.trainers import answered_pair, carry_out_here
from training import actions, diffs, likelihoods
from training.likelihoods import HeatMap, Token
from training.models import Generation, Likelihood, ModelVersion, Run
from training.rlhf.rundir import RunDir

Pair = tuple[ModelVersion, ModelVersion]


@pytest.fixture
def prompts(project: Project) -> list[Prompt]:
    return rows.prompts(project, 4)


@pytest.fixture
def pair(project: Project, prompts: list[Prompt], dana: User, tmp_path: Path) -> Pair:
    return answered_pair(project, tmp_path / "models of others", by=dana)


@pytest.fixture
def admin(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


def address(pair: Pair, **query: object) -> str:
    return f"/models/compare/?a={pair[0].pk}&b={pair[1].pk}" + "".join(f"&{key}={query[key]}" for key in query)


def test_the_answers_are_read_once_and_shown(
    admin: Client, pair: Pair, dana: User, django_capture_on_commit_callbacks
) -> None:  # type: ignore[no-untyped-def]
    a, b = pair
    page = admin.get(address(pair)).content.decode()
    assert "8 answers have not been read by both models yet" in page
    assert "Token by token" not in page
    with django_capture_on_commit_callbacks() as to_send:
        admin.post("/models/compare/tokens/", {"a": a.pk, "b": b.pk})
    assert len(to_send) == 1
    page = admin.get(address(pair)).content.decode()
    assert "Answers are being written" in page and "Let both read" not in page
    again = admin.post("/models/compare/tokens/", {"a": b.pk, "b": a.pk}, follow=True).content.decode()
    assert "nothing was started" in again
    run = carry_out_here(Run.objects.unfinished().get())
    assert (run.kind, run.model, run.reference) == ("compare", b, a)

    shown = admin.get(address(pair, order="kl"))
    text = shown.content.decode()
    for part in ("Token by token", "Likelier under tuned", "Change of the weights by layer", "model.layers.1", "log p"):
        assert part in text, part
    kls = [each.pair.kl for each in shown.context["page"]]
    assert kls == sorted(kls, reverse=True) and kls[-1] > 0
    assert f"KL of {b} from {a}" in text
    for each in shown.context["page"]:
        for side in each.sides:
            assert "".join(token.text for token in side.heat.tokens) == side.answer.text
            change = side.answer.likelihood.logprob_b - side.answer.likelihood.logprob_a
            assert sum(token.change for token in side.heat.tokens) == pytest.approx(change, abs=1e-2)
    with pytest.raises(ValueError, match="nothing was started"):
        likelihoods.start_reading(b, a, by=dana)


def test_the_other_way_round_every_sign_turns(pair: Pair, dana: User) -> None:
    a, b = pair
    carry_out_here(likelihoods.start_reading(b, a, by=dana))  # the older one is the run's model here
    row = Likelihood.objects.first()
    assert row and (row.a, row.b) == (a, b)
    there = {answer.response_id: answer for each in diffs.diff_versions(a, b).pairs for answer in (each.a, each.b)}
    back = {answer.response_id: answer for each in diffs.diff_versions(b, a).pairs for answer in (each.a, each.b)}
    for key, answer in there.items():
        one, other = answer.likelihood, back[key].likelihood
        assert one and other
        assert (one.logprob_a, one.logprob_b, one.kl_a, one.kl_b) == (
            other.logprob_b, other.logprob_a, other.kl_b, other.kl_a,
        )  # fmt: skip
    pairs = diffs.diff_versions(a, b).pairs
    changes = [likelihoods.heat_maps(*two, pairs)[row.response_id].tokens[0].change for two in (pair, (b, a))]
    assert changes[0] == -(changes[1] or 0)
    written = Generation.objects.filter(version=b).values_list("response", "logprob")
    for response, logprob in written:  # what b's sampler said of its own answer, where the text has the same tokens
        read = there[response].likelihood
        assert read and (read.logprob_b == pytest.approx(logprob, abs=1e-3) or "\ufffd" in there[response].text)


def test_only_new_answers_are_read(pair: Pair, dana: User, prompts: list[Prompt]) -> None:
    a, b = pair
    carry_out_here(likelihoods.start_reading(a, b, by=dana))
    first = Generation.objects.filter(version=b).earliest("pk")
    rewritten = rows.answer(first.response.prompt, "another answer", source=b.name)
    Generation.objects.create(response=rewritten, version=b, run=rows.run(b.project, "generate", model=b))
    assert diffs.diff_versions(a, b).num_unread == 1
    run = carry_out_here(likelihoods.start_reading(a, b, by=dana))
    assert len(RunDir(run.folder).responses.read_text().splitlines()) == 1
    assert not diffs.diff_versions(a, b).num_unread
    num = Likelihood.objects.count()
    likelihoods.keep(run)
    assert Likelihood.objects.count() == num == 9


def test_the_database_keeps_a_pair_once(pair: Pair) -> None:
    a, b = pair
    answer = Generation.objects.filter(version=a).first()
    assert answer
    values = {"response": answer.response, "run": answer.run, "tokens": []} | dict.fromkeys(
        ("logprob_a", "logprob_b", "kl_a", "kl_b"), 0.0
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        Likelihood.objects.create(a=b, b=a, **values)


def test_what_cannot_be_compared_is_refused(project: Project, dana: User) -> None:
    base = rows.base(project)
    scorer = rows.reward_model(project, model=base, snapshot=rows.snapshot(project))
    start = {"kind": "compare", "config": {}, "by": dana}
    with pytest.raises(ValueError, match="is a reward model: choose a base model"):
        actions.start_run(project, model=base, reference=scorer, **start)
    with pytest.raises(ValueError, match="choose two"):
        actions.start_run(project, model=base, reference=base, **start)
    with pytest.raises(ValueError, match="needs two models"):
        actions.start_run(project, model=base, **start)
    with pytest.raises(ValueError, match="no other run takes a second one"):
        actions.start_run(project, kind="generate", config={}, by=dana, model=base, reference=rows.base(project, "c"))


def test_a_heat_map_names_its_strongest_tokens() -> None:
    changes = [("so", 0.05), (" sorry", 2.0), (" for", -0.6), ("\n", -3.5), ("", 0.2), ("cut", None)]
    heat = HeatMap([Token(text, change) for text, change in changes])
    assert [token.level for token in heat.tokens] == [0, 3, 2, 4, 1, 0]
    assert [token.text for token in heat.likelier] == [" sorry", ""]
    assert [token.named for token in heat.rarer] == ["⏎", "␣for"]
    assert heat.tokens[4].is_end
