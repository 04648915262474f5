"""Parts of a page that are rendered once: what is fresh in them is never an older one's."""

import pytest
from django.template import Context, Template, TemplateSyntaxError
from django.utils import translation


class Said:
    """Counts how often it was asked for."""

    def __init__(self, text: str = "a title") -> None:
        self.text, self.num_asked = text, 0

    def __str__(self) -> str:
        self.num_asked += 1
        return self.text


def page(source: str) -> Template:
    return Template("{% load i18n kept %}" + source)


def test_what_is_alike_is_rendered_once_and_what_is_fresh_every_time() -> None:
    template, title = (
        page("{% kept key %}<h1>{{ title }}</h1>{% fresh %}{{ text }}{% endfresh %}!{% endkept %}"),
        Said(),
    )
    shown = [template.render(Context({"key": "k", "title": title, "text": text})) for text in ("<b>", "two", "three")]
    assert shown == [f"<h1>a title</h1>{text}!" for text in ("&lt;b&gt;", "two", "three")]
    assert title.num_asked == 1


def test_each_key_and_each_language_has_its_own() -> None:
    template = page("{% kept key %}{{ title }} {% translate 'both bad' %}{% endkept %}")
    assert template.render(Context({"key": "a", "title": "A"})) == "A both bad"
    assert template.render(Context({"key": "b", "title": "B"})) == "B both bad"
    with translation.override("zh-hans"):
        assert "both bad" not in template.render(Context({"key": "a", "title": "A"}))
    assert template.render(Context({"key": "a", "title": "unseen"})) == "A both bad"


@pytest.mark.parametrize("values", [{"key": "", "when": True}, {"key": "k", "when": False}, {"when": True}])
def test_nothing_is_kept_without_a_key_or_while_it_may_not_be(values: dict[str, object]) -> None:
    template = page("{% kept key when %}{{ title }}{% fresh %}{{ text }}{% endfresh %}{% endkept %}")
    for title in ("first ", "second "):
        assert template.render(Context({**values, "title": title, "text": "x"})) == f"{title}x"


def test_parts_within_what_is_fresh_are_kept_for_themselves() -> None:
    template = page(
        "{% kept key %}[{% fresh %}{% for text in texts %}{% kept side %}<{% fresh %}{{ text }}{% endfresh %}>"
        "{% endkept %}{% endfor %}{% endfresh %}]{% endkept %}"
    )
    for texts in (["a", "b"], ["c"], ["d", "e", "f"]):
        shown = template.render(Context({"key": "k", "side": "s", "texts": texts}))
        assert shown == "[" + "".join(f"<{text}>" for text in texts) + "]"


def test_a_part_within_a_part_is_kept_with_it() -> None:
    template = page("{% kept key %}{% kept key %}{% fresh %}{{ text }}{% endfresh %}{% endkept %}{% endkept %}")
    assert [template.render(Context({"key": "k", "text": text})) for text in "ab"] == ["a", "b"]


def test_what_is_fresh_may_not_depend_on_a_loop_around_it() -> None:
    template = page("{% kept key %}{% for text in texts %}{% fresh %}{{ text }}{% endfresh %}{% endfor %}{% endkept %}")
    with pytest.raises(TemplateSyntaxError, match="variables"):
        template.render(Context({"key": "k", "texts": ["a", "b"]}))


def test_what_is_never_twice_the_same_is_refused() -> None:
    """A token, say: it belongs to one request."""
    template = page("{% kept key %}{% fresh %}{{ token }}{% endfresh %}{% endkept %}")
    numbers = iter(range(9))
    with pytest.raises(TemplateSyntaxError, match="variables"):
        template.render(Context({"key": "k", "token": lambda: next(numbers)}))


def test_a_process_keeps_so_many_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotation.templatetags.kept.MOST", 2)
    template = page("{% kept key %}{{ title }}{% endkept %}")
    for key in ("a", "b", "c"):
        template.render(Context({"key": key, "title": key}))
    assert template.render(Context({"key": "a", "title": "anew"})) == "anew"
