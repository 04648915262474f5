"""What models and people write is shown as they meant it, and can do nothing to who reads it."""

import re
from html import escape, unescape
from html.parser import HTMLParser

import pytest

from annotation.rendering import TAGS, markdown

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](vbscript:msgbox(1))",
    "<javascript:alert(1)>",
    "![x](https://evil.example/pixel.gif)",
    '![x](x "onerror=alert(1)")',
    '[x](https://a.example "" onmouseover=alert(1) x="")',
    "[x]: javascript:alert(1)\n\n[x]",
    "<style>body{display:none}</style>",
    "<p style='position:fixed;inset:0'>x</p>",
    "<form action=//evil.example><input name=password></form>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    '```html" onmouseover="alert(1)\n<b>x</b>\n```',
    "```python\n</code></pre><script>alert(1)</script>\n```",
    "`</code><script>alert(1)</script>`",
    "<div hx-get='/logout/' hx-trigger='load'>x</div>",
    "<button popovertarget=skip>x</button>",
    "| a |\n| - |\n| <img src=x onerror=alert(1)> |",
    "\x00<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
]


class Seen(HTMLParser):
    """Collects the tags and attributes that a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_survives(attack: str) -> None:
    """Every tag that is left is on the list, with listed attributes only, and no address but a web or mail one."""
    for tag, attributes in Seen(markdown(attack)).tags:
        assert tag in TAGS
        assert set(attributes) <= {"href", "title", "class", "start", "target", "rel"}
        assert re.match(r"(https?|mailto):", attributes.get("href", "https:"))


def test_tags_in_a_text_are_shown_and_not_swallowed() -> None:
    assert "&lt;b&gt;bold&lt;/b&gt;" in markdown("Write <b>bold</b> like this.")


@pytest.mark.parametrize("tag", ["<script>", "<think>", "<div class=x>", "<!-- -->", "<b>"])
def test_what_follows_a_tag_is_still_markdown(tag: str) -> None:
    page = markdown(f"{tag}\nDo **this**\nand `a <b> c`\n\n> {tag} *quoted*")
    shown = escape(tag, quote=False)
    assert f"<p>{shown}<br>" in page and "<strong>this</strong><br>" in page
    assert "<code>a &lt;b&gt; c</code>" in page and f"{shown} <em>quoted</em>" in page


def test_an_address_in_angle_brackets_is_a_link() -> None:
    assert '<a href="https://a.example/x"' in markdown("See <https://a.example/x>.")
    assert 'href="https://a.example/x%3Cy"' in markdown("[See](https://a.example/x<y)")


def test_what_people_write_is_rendered() -> None:
    html = markdown("**Sorry!**\nWe will:\n\n1. look\n2. *refund*\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n~~no~~")
    for part in ("<strong>Sorry!</strong><br>", "<ol>", "<em>refund</em>", "<table>", "<del>no</del>"):
        assert part in html


def test_code_is_coloured_by_classes() -> None:
    html = markdown("```python\ndef f():\n    return 1\n```")
    assert '<span class="k">def</span>' in html
    assert "style=" not in html


@pytest.mark.parametrize("fence", ["nosuchlanguage", ""])
def test_code_of_an_unknown_language_is_kept_as_it_is(fence: str) -> None:
    assert "a &lt; b" in markdown(f"```{fence}\na < b\n```")


def test_headings_follow_those_of_the_page_without_a_gap() -> None:
    assert re.findall(r"<h\d>", markdown("## One\n\n#### Deep\n\n## Two")) == ["<h3>", "<h4>", "<h3>"]


def test_chinese_text_stays_as_it_is() -> None:
    assert markdown("您好，**请稍候**。") == "<p>您好，<strong>请稍候</strong>。</p>\n"


def test_chinese_emphasis_needs_no_spaces() -> None:
    assert markdown("**您好。**请稍候") == "<p><strong>您好。</strong>请稍候</p>\n"


@pytest.mark.parametrize("text", ["It takes 5~10 minutes, or 20~30.", "about ~5, ~10", "H~2~O"])
def test_one_tilde_strikes_nothing_out(text: str) -> None:
    assert markdown(text) == f"<p>{text}</p>\n"


def test_an_image_is_a_link_to_it() -> None:
    shown = Seen(markdown('![the lamp](https://a.example/lamp.png "broken")'))
    assert shown.tags == [
        ("p", {}),
        (
            "a",
            {
                "href": "https://a.example/lamp.png",
                "title": "broken",
                "rel": "noopener noreferrer nofollow",
                "target": "_blank",
            },
        ),
    ]


def test_a_code_block_keeps_every_character() -> None:
    code = "if a < b && c > \"d\":\n    print('&amp;')\n"
    for fence in ("python", "nosuchlanguage", ""):
        html = markdown(f"```{fence}\n{code}```")
        assert unescape(re.sub(r"<[^>]+>", "", html)).strip("\n") == code.strip("\n")
