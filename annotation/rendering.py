"""Markdown, as people and models write it, as HTML that is safe to print.

Two fences: the parser never sees a tag (tags in a text are shown as text), and nh3 then keeps only the tags and
attributes listed here. No images, because loading one would tell a foreign server who reads it; no inline styles,
because the content security policy forbids them. Code is coloured by Pygments' classes, defined in app.css.
Both fences are Rust: a page shows three such texts, and is to cost a fraction of a millisecond.
"""

import html
import re
from urllib.parse import quote

import nh3
from comrak import ExtensionOptions, RenderOptions, render_markdown
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span"),
    *("strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
FIRST_HEADING = 3
"""A text stands under the h1 of its page and the h2 that names it, so its own headings start at h3."""

LONGEST_COLOURED = 20_000
"""Characters of a code block beyond which colours are not worth the time."""

CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes={"a": {"href", "title"}, "code": {"class"}, "span": {"class"}, "ol": {"start"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",  # a text must not link to pages of ours
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer nofollow",
)

# A tag is text, and what follows it is still Markdown: the parser gets a character that stands in no text for each “<”
# (Unicode keeps it free for such use). Addresses in angle brackets stay links.
TAG = re.compile(r"<(?!(?:https?://|mailto:)[^\s<>]*>)")
STAND_IN = "\ufdd0"

# What the parser writes. It escapes the text itself, so none of these can come from it.
HEADING = re.compile(r"<(/?)h([1-6])>")
CODE = re.compile(r'<pre><code class="language-([^"]+)">(.*?)</code></pre>', re.DOTALL)
IMAGE = re.compile(r'<img src="([^"]*)" alt="([^"]*)"( title="[^"]*")? />')
LONE_TILDES = re.compile(r"</?sub>")


def _extensions() -> ExtensionOptions:
    options = ExtensionOptions()
    options.table = options.strikethrough = True
    options.cjk_friendly_emphasis = True  # **您好。**请 is bold, without a space
    # Else one tilde would strike out too: “5~10 or 20~30”. As a subscript it can be told apart, and put back.
    options.subscript = True
    return options


def _rendering() -> RenderOptions:
    options = RenderOptions()
    options.hardbreaks = True  # single line breaks are kept: models and people mean them
    options.escape = True
    return options


EXTENSIONS, RENDERING = _extensions(), _rendering()


def markdown(text: str) -> SafeString:
    """The text as safe HTML."""
    page = render_markdown(TAG.sub(STAND_IN, text), extension_options=EXTENSIONS, render_options=RENDERING)
    if "<h" in page:
        page = lower_headings(page)
    if "<pre>" in page:
        page = CODE.sub(colour, page)
    if "<img" in page:
        page = IMAGE.sub(r'!<a href="\1"\3>\2</a>', page)
    if "sub>" in page:
        page = LONE_TILDES.sub("~", page)
    page = page.replace(STAND_IN, "&lt;").replace(quote(STAND_IN), "%3C")
    return mark_safe(CLEANER.clean(page))


def colour(block: re.Match[str]) -> str:
    """The block with Pygments' spans when it knows the language; else as it is."""
    language, code = html.unescape(block[1]), html.unescape(block[2])
    if len(code) > LONGEST_COLOURED:
        return block[0]
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return block[0]
    coloured = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return f'<pre><code class="language-{block[1]}">{coloured}</code></pre>'


def lower_headings(page: str) -> str:
    """Make the text's headings follow those of the page without a gap, whatever levels the text starts from."""
    levels = sorted({tag[2] for tag in HEADING.finditer(page)})
    lowered = {level: min(FIRST_HEADING + index, 6) for index, level in enumerate(levels)}
    return HEADING.sub(lambda tag: f"<{tag[1]}h{lowered[tag[2]]}>", page)
