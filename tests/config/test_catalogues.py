"""Every text that a person may read is there in every language of the menu."""

import re
from pathlib import Path

import pytest
from django.utils import translation

from config import catalogues
from config.catalogues import Text

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")
TAG = re.compile(r"</?\w+[^<>]*>")


def test_texts_are_found_where_they_stand(tmp_path: Path) -> None:
    module = tmp_path / "page.py"
    module.write_text(
        '_("Plain") + ngettext("%(n)d task", "%(n)d tasks", n) + pgettext("verb", "label") + print("code")'
    )
    page = tmp_path / "page.html"
    page.write_text(
        '{% load i18n %}<a title="{% translate \'A (short) title\' %}">{{ _("Open") }}</a>'
        "{% blocktranslate count num=num %}{{ num }} row{% plural %}{{ num }} rows{% endblocktranslate %}"
    )
    assert set(catalogues.in_python(module)) == {
        Text("Plain"),
        Text("%(n)d task", "%(n)d tasks"),
        Text("label", context="verb"),
    }
    assert set(catalogues.in_template(page)) == {
        Text("A (short) title"),
        Text("Open"),
        Text("%(num)s row", "%(num)s rows"),
    }


def test_a_setting_explains_itself_in_the_readers_language() -> None:
    assert Text("Peak; reached linearly over `warmup_steps`, then as `lr_schedule` says.") in catalogues.texts()
    assert Text("%(name)s must be at least %(bound)s, got %(value)s.") in catalogues.texts()


@pytest.mark.parametrize("locale", catalogues.locales())
def test_no_translation_is_missing(locale: str) -> None:
    """`python -m config.catalogues` brings the catalogue up to date and lists what is left to translate."""
    texts, catalogue = catalogues.texts(), catalogues.read(locale)
    assert len(texts) > 700, "the list of texts is not what it should be"
    missing, gone = [], {(message.id if isinstance(message.id, str) else message.id[0]) for message in catalogue}
    for text in texts:
        message = catalogue.get(text.id, text.context or None)
        gone.discard(text.id)
        if message is None or not all(message.string if text.plural else [message.string]) or message.fuzzy:
            missing.append(text.id)
    assert not missing, f"{len(missing)} without a translation, such as {missing[:5]}"
    assert gone == {""}, "texts that the product does not have any more"


@pytest.mark.parametrize("locale", catalogues.locales())
def test_translations_keep_placeholders_and_markup(locale: str) -> None:
    for message in catalogues.read(locale):
        if not message.id:
            continue
        originals = [message.id] if isinstance(message.id, str) else list(message.id)
        translations = [message.string] if isinstance(message.string, str) else list(message.string)
        for pattern in (PLACEHOLDER, TAG):
            wanted = set(pattern.findall(originals[-1]))
            for translated in translations:
                assert set(pattern.findall(translated)) == wanted, f"{originals[-1]!r} became {translated!r}"


def test_django_reads_what_was_compiled() -> None:
    with translation.override("zh-hans"):
        assert translation.gettext("Choose an answer first.") == "请先选择一个回答。"
