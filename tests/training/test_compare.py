"""/models/compare/: the model diff, its figures and orders; the runs it still needs; pairs sent to people."""

import pytest
from django.test import Client

from annotation.models import Project, Prompt, Task, User
from tests.training import rows
from tests.training.fence import Cast, check
from training import answers
from training.models import Generation, ModelVersion, Run
from training.views.compare import PAGE_SIZE

Pair = tuple[ModelVersion, ModelVersion]


@pytest.fixture
def prompts(project: Project) -> list[Prompt]:
    return rows.prompts(project, 30)


@pytest.fixture
def pair(project: Project) -> Pair:
    """Two versions without answers."""
    base, frozen = rows.base(project), rows.snapshot(project, num_simulated=11)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    return base, rows.policy(project, model=base, scorer=scorer, snapshot=frozen)


@pytest.fixture
def answered(pair: Pair, prompts: list[Prompt]) -> Pair:
    a, b = pair
    scorer = answers.scorer(a, b)
    rows.generations(a, scorer=scorer, prompts=prompts, shift=-0.2)
    rows.generations(b, scorer=scorer, prompts=prompts, shift=0.3)
    Generation.objects.filter(version=b, response__prompt=prompts[7]).update(reward=-3.0)
    return pair


def address(pair: Pair, **query: object) -> str:
    return f"/models/compare/?a={pair[0].pk}&b={pair[1].pk}" + "".join(f"&{key}={query[key]}" for key in query)


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def admin(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


def test_it_works(reader: Client, answered: Pair) -> None:
    page = reader.get(address(answered))
    text = page.content.decode()
    assert page.status_code == 200
    for part in ("11 simulated", "96.7", "30 prompts", "Wins by reward", "<del>starter</del>", "Change of the reward"):
        assert part in text, part
    assert "Send to annotators" not in text, "a reviewer sends none"
    assert len(page.context["page"]) == PAGE_SIZE


def test_fence(cast: Cast, answered: Pair) -> None:
    check(cast, address(answered))


@pytest.mark.parametrize("query", ["a=1", "a=x&b=y", "a=&b=", ""])
def test_without_two_versions_it_asks_for_them(reader: Client, pair: Pair, query: str) -> None:
    page = reader.get(f"/models/compare/?{query}")
    assert page.status_code == 200
    assert "Compare two models" in page.content.decode()


def test_missing_versions_and_versions_of_two_projects(reader: Client, pair: Pair, bob: User, dana: User) -> None:
    assert reader.get("/models/compare/?a=987654&b=987655").status_code == 404
    other = Project.objects.create(slug="second", name="Second")
    other.memberships.create(user=bob, role=20)
    assert reader.get(address((pair[0], rows.base(other, "other")))).status_code == 404


def test_a_reward_model_and_a_version_with_itself_are_refused(admin: Client, answered: Pair) -> None:
    a, b = answered
    scorer = answers.scorer(a, b)
    assert scorer
    refused = {(a, a): "choose two", (scorer, b): "is a reward model", (b, scorer): "is a reward model"}
    for pair, sentence in refused.items():
        page = admin.get(address(pair))
        assert page.status_code == 422
        assert sentence in page.content.decode()
        assert "Compare two models" in page.content.decode()
    runs, tasks = Run.objects.count(), Task.objects.count()
    for verb in ("generate", "send"):
        sent = {"a": scorer.pk, "b": b.pk, "num": "5"}
        page = admin.post(f"/models/compare/{verb}/", sent, follow=True)
        assert "is a reward model" in page.content.decode()
    assert (Run.objects.count(), Task.objects.count()) == (runs, tasks)


def test_orders(reader: Client, answered: Pair, prompts: list[Prompt]) -> None:
    def first(order: str) -> int:
        return reader.get(address(answered, order=order)).context["page"][0].pair.prompt_id

    assert first("loss") == prompts[7].pk
    assert first("gain") == prompts[29].pk
    assert first("change") == prompts[7].pk
    assert first("prompt") == prompts[0].pk
    assert first("nonsense") == prompts[7].pk


def test_an_address_with_a_prompt_opens_the_page_where_it_is(
    reader: Client, answered: Pair, prompts: list[Prompt]
) -> None:
    for prompt in (prompts[0], prompts[29]):
        page = reader.get(address(answered, order="prompt", prompt=prompt.pk)).content.decode()
        assert f'id="pair-{prompt.pk}"' in page
    page = reader.get(address(answered, order="prompt", prompt=10**9)).content.decode()
    assert f'id="pair-{prompts[0].pk}"' in page, "the first page, for a prompt that is not among them"


def test_rewards_of_two_reward_models_are_not_compared(reader: Client, answered: Pair) -> None:
    Run.objects.filter(generations__version=answered[0]).update(reward_model=None)
    text = reader.get(address(answered)).content.decode()
    assert "not scored by one reward model" in text


def test_what_is_missing_is_offered_as_one_button(
    admin: Client, pair: Pair, prompts: list[Prompt], django_capture_on_commit_callbacks
) -> None:  # type: ignore[no-untyped-def]
    a, b = pair
    assert b.run
    Run.objects.filter(pk=b.run.pk).update(config={"max_response_tokens": 48, "temperature": 0.9, "kl_coef": 0.1})
    text = admin.get(address(pair)).content.decode()
    assert "Neither has answered the prompts yet" in text
    assert "Both answer the same 30 prompts" in text
    with django_capture_on_commit_callbacks() as to_send:
        admin.post("/models/compare/generate/", {"a": a.pk, "b": b.pk})
    runs = list(Run.objects.filter(kind="generate").order_by("pk"))
    assert [run.model for run in runs] == [a, b]
    assert len(to_send) == 2
    for run in runs:
        assert run.reward_model == answers.scorer(a, b)
        assert (run.config["max_response_tokens"], run.config["temperature"], run.config["split"]) == (48, 0.9, "all")
    page = admin.get(address(pair)).content.decode()
    assert "Answers are being written" in page
    assert "Write the missing answers" not in page
    again = admin.post("/models/compare/generate/", {"a": a.pk, "b": b.pk}, follow=True)
    assert "nothing was started" in again.content.decode()


def test_only_the_one_that_lacks_answers_is_asked(admin: Client, pair: Pair, prompts: list[Prompt]) -> None:
    a, b = pair
    rows.generations(a, scorer=answers.scorer(a, b), prompts=prompts, shift=0.1)
    admin.post("/models/compare/generate/", {"a": a.pk, "b": b.pk})
    assert [run.model for run in Run.objects.unfinished()] == [b]


def test_fence_of_its_verbs(cast: Cast, answered: Pair) -> None:
    a, b = answered
    for verb in ("generate", "send"):
        check_post(cast, f"/models/compare/{verb}/", {"a": a.pk, "b": b.pk, "num": 1})


def check_post(cast: Cast, verb: str, sent: dict[str, object]) -> None:
    expected = {"alice": 403, "bob": 403, "charlie": 404, "dana": 302}
    for name, status in expected.items():
        client = Client()
        client.force_login(getattr(cast, name))
        assert client.post(verb, sent).status_code == status, name
        assert client.get(verb).status_code == 405
    assert Client().post(verb, sent)["Location"].startswith("/login/")


def test_a_poll_while_answers_are_written(admin: Client, pair: Pair, prompts: list[Prompt]) -> None:
    admin.post("/models/compare/generate/", {"a": pair[0].pk, "b": pair[1].pk})
    htmx = {"HTTP_HX-Request": "true"}
    state = admin.get(address(pair)).context["state"]
    assert admin.get(address(pair, seen=state), **htmx).status_code == 204
    Run.objects.unfinished().update(step=3, total_steps=9)
    moved = admin.get(address(pair, seen=state), **htmx)
    assert "step 3 of 9" in moved.content.decode()
    Run.objects.unfinished().update(status="succeeded")
    ended = admin.get(address(pair, seen=state), **htmx)
    assert ended.status_code == 286
    assert ended["HX-Refresh"] == "true"


def test_the_ticked_pairs_go_to_people(admin: Client, answered: Pair, prompts: list[Prompt]) -> None:
    a, b = answered
    sent = {"a": a.pk, "b": b.pk, "order": "gain", "num": "50", "prompt": [prompts[2].pk, prompts[3].pk]}
    text = admin.post("/models/compare/send/", sent, follow=True).content.decode()
    assert "2 new comparisons wait for people." in text
    assert set(Task.objects.values_list("prompt", flat=True)) == {prompts[2].pk, prompts[3].pk}
    again = admin.post("/models/compare/send/", sent, follow=True).content.decode()
    assert "0 new comparisons" in again


def test_the_first_so_many_go_to_people(admin: Client, answered: Pair, prompts: list[Prompt]) -> None:
    a, b = answered
    admin.post("/models/compare/send/", {"a": a.pk, "b": b.pk, "order": "loss", "num": "1"})
    assert list(Task.objects.values_list("prompt", flat=True)) == [prompts[7].pk]


def test_sending_nothing_says_so(admin: Client, answered: Pair) -> None:
    a, b = answered
    text = admin.post("/models/compare/send/", {"a": a.pk, "b": b.pk, "num": "many"}, follow=True).content.decode()
    assert "Nothing was sent" in text


def test_queries_do_not_grow_with_the_answers(reader: Client, answered: Pair, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    """The first time everything is counted, and kept."""
    for num in (46, 28):
        with django_assert_max_num_queries(num):
            reader.get(address(answered))
