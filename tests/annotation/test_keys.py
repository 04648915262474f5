"""/account/keys/ : a person's own keys, conflicts refused; the task page shows and obeys them."""

from typing import Any

import pytest

from annotation.keys import USUAL, keys_of
from annotation.models import Project, User
from tests.annotation.conftest import browser_of, make_tasks, text_of

PATH = "/account/keys/"


def send(user: User, **changed: Any) -> Any:
    return browser_of(user).post(PATH, USUAL | changed)


def test_it_works(project: Project, alice: User) -> None:
    make_tasks(project, 1)
    assert send(alice, skip="Q", tie="0").status_code == 302
    alice.refresh_from_db()
    assert alice.key_bindings == {"skip": "q", "tie": "0"}
    page = text_of(alice, f"/projects/{project.slug}/annotate/")
    assert "Skip <kbd>Q</kbd>" in page and "Skip <kbd>S</kbd>" not in page
    assert '"skip": "q"' in page
    assert 'value="q"' in text_of(alice, PATH)
    assert browser_of(alice).post(PATH, {"reset": "1"}).status_code == 302
    alice.refresh_from_db()
    assert (alice.key_bindings, keys_of(alice)) == ({}, USUAL)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"skip": "f"}, "“F” is already the key of “skip, with a reason”"),
        ({"why": "E"}, "“E” is already the key of “correct an answer”"),
        ({"undo": "Enter"}, "Enter always submits"),
        ({"undo": "ab"}, "A key is one letter"),
        ({"undo": ""}, "the usual one is “u”"),
        ({"undo": "\0"}, "Null characters are not allowed"),
    ],
)
def test_conflicts_are_refused_with_a_sentence(alice: User, changed: dict[str, str], sentence: str) -> None:
    response = send(alice, **changed)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    alice.refresh_from_db()
    assert alice.key_bindings == {}


def test_two_keys_may_change_places(alice: User) -> None:
    assert send(alice, skip="f", flag="s").status_code == 302
    alice.refresh_from_db()
    assert (keys_of(alice)["skip"], keys_of(alice)["flag"]) == ("f", "s")


def test_what_is_stored_and_means_nothing_is_passed_over(alice: User) -> None:
    alice.key_bindings = {"fly": "z", "skip": ""}
    assert keys_of(alice) == USUAL
    alice.key_bindings = ["z"]
    assert keys_of(alice) == USUAL
