"""Markdown, as people and models write it, as HTML that is safe to print.

Two fences: the parser passes no HTML through (tags in a text are shown as text), and nh3 then keeps only the tags and
attributes listed here. No images, because loading one would tell a foreign server who reads it; no inline styles,
because the content security policy forbids them. Code is coloured by Pygments' classes, defined in app.css.
"""

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span"),
    *("strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "span": {"class"}, "ol": {"start"}}
URL_SCHEMES = {"http", "https", "mailto"}
FIRST_HEADING = 3
"""A text stands under the h1 of its page and the h2 that names it, so its own headings start at h3."""

LONGEST_COLOURED = 20_000
"""Characters of a code block beyond which colours are not worth the time."""


def colour(code: str, language: str, _attributes: str) -> str:
    """Pygments' spans for a language it knows; an empty text makes the parser escape the code itself."""
    if not language or len(code) > LONGEST_COLOURED:
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


PARSER = (
    MarkdownIt("commonmark", {"html": False, "breaks": True, "highlight": colour})
    .enable(["table", "strikethrough"])
    .disable("image")
)


def markdown(text: str) -> SafeString:
    """The text as safe HTML. Single line breaks are kept: models and people mean them."""
    environment: dict[str, object] = {}
    tokens = PARSER.parse(text, environment)
    lower_headings(tokens)
    html = PARSER.renderer.render(tokens, PARSER.options, environment)
    clean = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=URL_SCHEMES,
        url_relative="deny",  # a text must not link to pages of ours
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(clean)


def lower_headings(tokens: list[Token]) -> None:
    """Make the text's headings follow those of the page without a gap, whatever levels the text starts from."""
    headings = [token for token in tokens if token.type in {"heading_open", "heading_close"}]
    levels = sorted({token.tag for token in headings})
    for token in headings:
        token.tag = f"h{min(FIRST_HEADING + levels.index(token.tag), 6)}"
