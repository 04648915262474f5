"""Which way the arrows point, held as a test: each room may import only what its line below allows.

Files are read with ast and never imported. A room that is not there fails, rather than passing with nothing read.
"""

import ast
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
OWN = {"annotation", "config", "training", "benchmarks", "tests"}
MAX_LINES = 400
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "signals.py", "base_trainer.py", "callbacks.py"}

RLHF_ORDER = [
    *("fields", "run_config", "policy_config", "config", "rundir", "shapes", "memory", "peak", "launch", "distributed"),
    *("beside", "data", "inputs", "norms", "row_layout", "packing", "activations", "fused", "heads", "token_steps"),
    *("scalar", "model", "adapters", "losses", "advantages", "sampling", "scoring", "rewards"),
    *("optimizer", "checkpoint", "spread", "calibration", "measures", "pairs", "held_out", "values", "steering"),
    *("experience", "policy_update", "train_sft", "train_reward", "train_dpo", "train_ilql", "train_policy"),
    *("served", "streamed", "generate", "evaluate", "chat", "compare", "environment", "boards", "__main__"),
]
"""Inside the trainer each file imports only those before it. A new file gets its place in this list."""


def python_files(room: str) -> list[Path]:
    path = REPO / room
    if path.with_suffix(".py").is_file():
        return [path.with_suffix(".py")]
    files = [file for file in sorted(path.rglob("*.py")) if "migrations" not in file.parts]
    assert files, f"the room {room} is not there"
    return files


def tracked_sources() -> list[Path]:
    rooms = ["config", "annotation", "training", "tests", "benchmarks", "static", "templates"]
    found = [
        file for room in rooms for file in (REPO / room).rglob("*") if file.suffix in {".py", ".js", ".css", ".html"}
    ]
    return [file for file in found if "migrations" not in file.parts]


def imports(file: Path) -> list[tuple[str, int, bool]]:
    """(module, line, whether it stands inside a function) of every import; `from a import b` counts as a.b and a."""
    tree = ast.parse(file.read_text(), str(file))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            found += [(f"{node.module}.{alias.name}", node.lineno, id(node) in inside) for alias in node.names]
    return found


def within(module: str, *places: str) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


def wrong(room: str, is_allowed) -> list[str]:  # type: ignore[no-untyped-def]
    return [
        f"{file.relative_to(REPO)}:{line} imports {module}"
        for file in python_files(room)
        for module, line, _ in imports(file)
        if not is_allowed(module, file)
    ]


def test_annotation_knows_nothing_of_training() -> None:
    forbidden = ("training", "celery", "torch", "transformers", "peft", "safetensors")
    assert not wrong("annotation", lambda module, _: not within(module, *forbidden))


def test_the_web_half_of_training_meets_the_trainer_on_disk() -> None:
    def is_allowed(module: str, file: Path) -> bool:
        in_trainer = (REPO / "training" / "rlhf") in file.parents
        in_starter = (REPO / "training" / "starter") in file.parents
        if in_trainer or in_starter:
            return True  # their own tests below
        if within(module, "torch", "transformers", "peft", "safetensors"):
            return False
        if within(module, "annotation"):
            doors = ("models", "intake", "export", "webhooks", "simulation", "progress", "awaited")
            return within(module, *(f"annotation.{door}" for door in doors))
        if within(module, "training.rlhf"):
            return within(module, "training.rlhf.config", "training.rlhf.memory", "training.rlhf.rundir")
        return True

    assert not wrong("training", is_allowed)


def test_the_trainer_stands_alone() -> None:
    standard = sys.stdlib_module_names

    def is_allowed(module: str, file: Path) -> bool:
        root = module.split(".")[0]
        if root in OWN:
            return within(module, "training.rlhf")
        libraries = {"torch", "transformers", "peft", "safetensors", "tokenizers", "wandb", "urllib3", "httpx2"}
        if file.stem in {"fields", "run_config", "policy_config", "config", "rundir", "shapes", "memory"}:
            libraries = set()
        if file.stem == "environment":
            libraries |= {"gymnasium", "numpy"}
        return root in libraries or root in standard

    assert not wrong("training/rlhf", is_allowed)


def test_trainer_files_import_only_those_before_them() -> None:
    for file in python_files("training/rlhf"):
        if file.stem == "__init__":
            continue
        assert file.stem in RLHF_ORDER, f"{file.name} has no place in the reading order"
        before = RLHF_ORDER[: RLHF_ORDER.index(file.stem)]
        for module, line, _ in imports(file):
            if within(module, "training.rlhf"):
                name = module.split(".")[2]
                assert name in before, f"{file.name}:{line} imports {name}, which stands behind it"


@pytest.mark.parametrize("app", ["annotation", "training"])
def test_arrows_inside_an_app(app: str) -> None:
    """models import no sibling; actions import no tasks and no views; only urls import views."""
    for file in python_files(app):
        if file.is_relative_to(REPO / "training" / "rlhf"):
            continue
        subject = file.relative_to(REPO / app).parts[0].removesuffix(".py")
        for module, line, _ in imports(file):
            if not within(module, app) or module == app:
                continue
            other = module.split(".")[1]
            where = f"{file.relative_to(REPO)}:{line} imports {module}"
            if subject == "models":
                assert other == "models", where
            if other == "views":
                assert subject in {"urls", "views"}, where
            if other == "tasks":
                assert subject in {"views", "management", "tasks"}, where


def test_imports_stand_at_the_top() -> None:
    """Inside functions only what costs seconds at start-up and few requests need: torch and transformers with their
    next of kin; crowdkit and pandas, for the weighted consensus alone; wandb, which few install.
    """
    slow = (
        "torch",
        "transformers",
        "peft",
        "safetensors",
        "tokenizers",
        "training.rlhf",
        "crowdkit",
        "pandas",
        "wandb",
    )
    for room in ("config", "annotation", "training"):
        for file in python_files(room):
            for module, line, inside in imports(file):
                assert not inside or within(module, *slow), f"{file.relative_to(REPO)}:{line} imports {module} late"


def test_no_file_is_two_rooms() -> None:
    files = tracked_sources()
    assert len(files) > 60, "the list of files is not what it should be"
    long = {str(file.relative_to(REPO)): n for file in files if (n := len(file.read_text().splitlines())) > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines: {long}"
    assert not [file for file in files if file.name in FORBIDDEN_NAMES]
