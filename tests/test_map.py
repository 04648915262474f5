"""README's map names every module, and nothing that is not there."""

import re
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
ROOMS = ["config", "annotation", "training", "benchmarks"]


def mapped_paths() -> list[str]:
    """Paths named in the fenced block under “## The map”: a line is `path  — what it is`, indented under its folder."""
    section = (REPO / "README.md").read_text().split("## The map", 1)[1]
    block = re.search(r"```\n(.*?)```", section, re.S)
    assert block, "README has no map"
    paths, folders = [], {-1: ""}
    for line in block.group(1).splitlines():
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        name = line.split()[0]
        parent = folders[max(level for level in folders if level < indent)]
        folders = {level: path for level, path in folders.items() if level < indent}
        if name.endswith("/"):
            folders[indent] = parent + name
        paths.append(parent + name)
    return paths


def modules() -> set[str]:
    files = [file for room in ROOMS for file in (REPO / room).rglob("*.py")]
    return {
        str(file.relative_to(REPO))
        for file in files
        if "migrations" not in file.parts and (file.name != "__init__.py" or file.parent.name == "rlhf")
    }


def test_every_module_stands_in_the_map() -> None:
    found = modules()
    assert len(found) > 40, "the list of modules is not what it should be"
    assert not found - set(mapped_paths()), "missing in README's map"


def test_the_map_names_nothing_that_is_not_there() -> None:
    paths = mapped_paths()
    assert len(paths) == len(set(paths)), "named twice in README's map"
    missing = {path for path in paths if not (REPO / path).exists()}
    assert not missing, "in README's map, but not there"
