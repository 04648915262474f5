"""/projects/<slug>/guidelines/ : read by all, published in versions by admins."""

from annotation import actions
from annotation.models import Guidelines, Project, User
from tests.annotation.conftest import browser_of, text_of


def test_guidelines_are_published_in_versions(project: Project, carol: User, alice: User) -> None:
    path = f"/projects/{project.slug}/guidelines/"
    assert "no guidelines yet" in text_of(alice, path)
    for text in ("# Be *kind*", "# Be *brief*"):
        assert browser_of(carol).post(path, {"text": text}).status_code == 302
    assert "<em>brief</em>" in text_of(alice, path)
    assert list(Guidelines.objects.values_list("version", flat=True)) == [1, 2]
    empty = browser_of(carol).post(path, {"text": "  "})
    assert empty.status_code == 422
    assert "The guidelines are empty" in empty.content.decode()


def test_guidelines_as_a_fragment(project: Project, alice: User) -> None:
    actions.publish_guidelines(project, text="Be kind", by=None)
    page = browser_of(alice).get(f"/projects/{project.slug}/guidelines/", headers={"HX-Request": "true"})
    assert "Be kind" in page.content.decode() and "<html" not in page.content.decode()


def test_any_two_versions_are_compared(project: Project, alice: User) -> None:
    path = f"/projects/{project.slug}/guidelines/versions/"
    assert "no guidelines yet" in text_of(alice, path)
    for text in ("Be kind", "Be brief", "Be *brief* and clear"):
        actions.publish_guidelines(project, text=text, by=None)
    last = text_of(alice, path)
    assert "From version 2 to version 3" in last and "<em>brief</em>" in last
    first = text_of(alice, path, **{"from": "1", "to": "2"})
    assert "kind" in first and "clear" not in first
    assert "From version 2 to version 3" in text_of(alice, path, **{"from": "²", "to": "99"})
