"""The language of the pages: the menu's choice goes with the account, the browser's own counts where none was made."""

import pytest
from django.test import Client

from annotation.models import User

ENGLISH, CHINESE = "Log out", "退出登录"


@pytest.fixture
def person(db) -> User:  # type: ignore[no-untyped-def]
    return User.objects.create_user("alice", password="a long password")


def page(client: Client, language: str) -> str:
    return client.get("/", headers={"Accept-Language": language}).content.decode()


def test_the_browsers_language_counts_until_one_is_chosen(person: User) -> None:
    client = Client()
    client.force_login(person)
    assert CHINESE in page(client, "zh-CN")
    assert ENGLISH in page(client, "en-GB")
    assert ENGLISH in page(client, "fr")


def test_the_choice_goes_with_the_account(person: User) -> None:
    client, elsewhere = Client(), Client()
    for browser in (client, elsewhere):
        browser.force_login(person)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/"})
    assert CHINESE in page(client, "en")
    answer = elsewhere.get("/", headers={"Accept-Language": "en"})
    assert CHINESE in answer.content.decode()
    assert answer["Content-Language"] == "zh-hans"
    assert User.objects.get(pk=person.pk).language == "zh-hans"


def test_a_language_that_is_not_offered_changes_nothing(person: User) -> None:
    client = Client()
    client.force_login(person)
    client.post("/i18n/setlang/", {"language": "tlh", "next": "/"})
    assert User.objects.get(pk=person.pk).language == ""
    assert ENGLISH in page(client, "en")


def test_in_a_shared_browser_everybody_gets_their_own(person: User) -> None:
    """The cookie is the last one's who chose; an account's choice counts more, also in the header."""
    others = [User.objects.create_user(name, language=chosen) for name, chosen in (("bob", "en"), ("charlie", ""))]
    client = Client()
    client.force_login(person)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/"})
    seen = {}
    for user in (person, *others):
        client.force_login(user)
        answer = client.get("/", headers={"Accept-Language": "en"})
        is_chinese = CHINESE in answer.content.decode()
        assert answer["Content-Language"] == ("zh-hans" if is_chinese else "en")
        assert ('<html lang="zh-hans"' in answer.content.decode()) == is_chinese
        seen[user.username] = is_chinese
    assert seen == {"alice": True, "bob": False, "charlie": True}
    client.post("/accounts/logout/")  # client.logout() would throw the cookies away
    assert client.get("/accounts/login/", headers={"Accept-Language": "en"})["Content-Language"] == "zh-hans"


def test_choosing_again_counts_at_once(person: User) -> None:
    client = Client()
    client.force_login(person)
    for language, word in (("zh-hans", CHINESE), ("en", ENGLISH)):
        client.post("/i18n/setlang/", {"language": language, "next": "/"})
        assert word in page(client, "fr")
