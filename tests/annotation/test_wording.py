"""wording.changes: what a newer text says that an older one did not."""

from annotation.wording import Block, Part, changes


def texts(blocks: list[Block], *kinds: str) -> str:
    return "|".join(part.text for block in blocks for part in block.parts if part.kind in kinds)


def test_words_inside_a_line() -> None:
    (block,) = changes("Be kind to people.", "Be brief to people.")
    assert block.parts == [
        Part("same", "Be "),
        Part("removed", "kind"),
        Part("added", "brief"),
        Part("same", " to people."),
    ]


def test_the_same_is_no_change() -> None:
    assert changes("One\nTwo", "One\nTwo\n") == []


def test_chinese_is_compared_by_character() -> None:
    blocks = changes("回答要友好", "回答要简短")
    assert texts(blocks, "same") == "回答要"
    assert (texts(blocks, "removed"), texts(blocks, "added")) == ("友好", "简短")


def test_what_stayed_is_folded_but_for_two_lines_around_a_change() -> None:
    lines = [f"line {number}" for number in range(30)]
    blocks = changes("\n".join(lines), "\n".join([*lines[:15], "new", *lines[15:]]))
    assert [block.is_fold for block in blocks] == [True, False, False, False, True]
    assert texts(blocks, "same") == "line 13\nline 14|line 15\nline 16"
    assert texts(blocks, "added") == "new"


def test_nothing_is_lost_either_way() -> None:
    old, new = "# A\n\nOne two three.\nGone.", "# A\n\nOne 2 three.\n\n* more\n* and more"
    blocks = changes(old, new)
    assert not any(block.is_fold for block in blocks)
    for kind, text in (("removed", old), ("added", new)):
        rebuilt = "\n".join(
            "".join(part.text for part in block.parts if part.kind in {"same", kind}) for block in blocks
        )
        assert rebuilt == text


def test_from_nothing_and_to_nothing() -> None:
    assert texts(changes("", "All new"), "added") == "All new"
    assert texts(changes("All gone", ""), "removed") == "All gone"
