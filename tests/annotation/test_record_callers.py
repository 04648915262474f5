"""Whatever writes into the audit log does so in one transaction with the change it tells of.

`record` raises outside a transaction; tests run inside one, so a verb that forgets its own would fail for people only.
"""

import ast
from pathlib import Path

REPO = Path(__file__).parents[2]
RECORD = "AuditEntry.objects.record"


def names_of_record(tree: ast.Module) -> set[str]:
    """Its name, and those of a module's private functions around it: whoever calls these is looked at instead."""
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("_"))
    return {RECORD} | {node.name for node in functions if len(node.body) == 1 and RECORD in ast.unparse(node)}


def is_atomic(node: ast.AST) -> bool:
    return "transaction.atomic" in ast.unparse(node)


def unguarded(tree: ast.Module) -> tuple[int, list[int]]:
    """How many calls of record there are, and the lines of those with no `atomic` around them."""
    total, bare, calls = 0, [], names_of_record(tree)

    def walk(node: ast.AST, guarded: bool) -> None:
        nonlocal total
        if isinstance(node, ast.FunctionDef):
            guarded = node.name in calls or any(is_atomic(each) for each in node.decorator_list)
        if isinstance(node, ast.With):
            guarded = guarded or any(is_atomic(item) for item in node.items)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
            total += 1
            if not guarded:
                bare.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            walk(child, guarded)

    walk(tree, False)
    return total, bare


def test_every_entry_is_written_with_its_change() -> None:
    calls, found = 0, []
    for app in ("annotation", "training"):
        for file in sorted((REPO / app).rglob("*.py")):
            total, lines = unguarded(ast.parse(file.read_text(), str(file)))
            calls += total
            found += [f"{file.relative_to(REPO)}:{line}" for line in lines]
    assert calls > 20, "the list of calls is not what it should be"
    assert not found, "no transaction of its own around the entry"
