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
