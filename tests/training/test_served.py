"""Answers from a server on the web side: which may be asked, and what becomes of what it answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from annotation.models import Project, Prompt, Response, User
from tests.rlhf.chat_server import Server
from training import actions
from training.models import Generation, ModelVersion, Run
from training.tasks import execute_run


@pytest.fixture
def served(project: Project) -> ModelVersion:
    call_command("register_model", "llama3.1:8b", served=True, name="llama-8b", project=project.slug, verbosity=0)
    return project.model_versions.get(name="llama-8b")


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    with Server().running() as running:
        settings.MODEL_SERVERS = [running.address]
        yield running


def new_prompt(project: Project, text: str) -> Prompt:
    return Prompt.objects.create(project=project, content_hash=text, messages=[{"role": "user", "content": text}])


def start(version: ModelVersion, by: User, **config: object) -> Run:
    return actions.start_run(version.project, kind="generate", config=config, by=by, model=version)


@pytest.mark.django_db(transaction=True)
def test_its_answers_stand_under_the_versions_name(served: ModelVersion, server: Server, dana: User) -> None:
    prompts = [new_prompt(served.project, f"question {index}") for index in range(3)]
    run = start(served, dana, backend="openai", server=server.address)
    execute_run(run.pk)
    run.refresh_from_db()
    assert (run.status, run.error) == (Run.Status.SUCCEEDED, "")
    assert {body["model"] for _, _, body in server.asked} == {"llama3.1:8b"}
    answers = {response.prompt_id: response for response in Response.objects.filter(source="llama-8b")}
    assert {pk: answer.text for pk, answer in answers.items()} == {
        prompt.pk: f"QUESTION {index}" for index, prompt in enumerate(prompts)
    }
    generation = Generation.objects.filter(version=served).first()
    assert generation and generation.logprob is None and generation.num_tokens == 3 and generation.has_ended


def test_only_servers_that_the_operator_named_are_asked(served: ModelVersion, server: Server, dana: User) -> None:
    for address in ("http://169.254.169.254/v1", server.address + "/../admin", "http://127.0.0.1:5432/v1"):
        with pytest.raises(ValueError, match=f"may ask .{server.address}."):
            start(served, dana, backend="openai", server=address)
    assert not Run.objects.exists()


def test_the_page_says_so_too(client: Client, served: ModelVersion, server: Server, dana: User, settings: Any) -> None:
    client.force_login(dana)
    settings.MODEL_SERVERS = []
    address = f"/runs/new/?project={served.project.slug}&kind=generate"
    assert b'name="server_model"' in client.get(address).content
    posted = {"model": served.pk, "backend": "openai", "server": server.address, "samples_per_prompt": "1"}
    answer = client.post(address, posted)
    assert answer.status_code == 422 and "there is none yet" in answer.content.decode()


def test_a_model_on_a_server_does_nothing_else(served: ModelVersion, base: ModelVersion, dana: User) -> None:
    with pytest.raises(ValueError, match="answered for by a server: set backend to openai"):
        start(served, dana)
    with pytest.raises(ValueError, match="lives on a server"):
        actions.start_run(served.project, kind="evaluate", config={}, by=dana, model=served)


def test_a_chat_asks_the_server_that_is_known(served: ModelVersion, dana: User, settings: Any) -> None:
    def asked() -> str:
        chat = actions.start_chat(served.project, a=served, b=None, by=dana, text="Hello?")
        return str(chat.turns.get().answers.get().settings["server"])

    settings.MODEL_SERVERS = ["http://one/v1"]
    assert asked() == "http://one/v1"
    settings.MODEL_SERVERS = ["http://one/v1", "http://two/v1"]
    with pytest.raises(ValueError, match="not known which server answers for llama-8b: start a generate run"):
        asked()
    new_prompt(served.project, "question")
    start(served, dana, backend="openai", server="http://two/v1")
    assert asked() == "http://two/v1"


def test_a_listed_server_that_is_struck_off_is_not_asked_by_a_waiting_run(
    served: ModelVersion, server: Server, dana: User, settings: Any, tmp_path: Path
) -> None:
    new_prompt(served.project, "question")
    run = start(served, dana, backend="openai", server=server.address)
    settings.MODEL_SERVERS = []
    execute_run(run.pk)
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED and "may ask" in run.error and not server.asked
