"""Imports point one way; files stay short. Read from the sources, nothing is imported."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "deepunsup_helpers"
FILES = sorted(PACKAGE.rglob("*.py"))
LEAVES = {"models", "losses", "metrics", "plotting", "data"}
HEAVY = {
    "torch",
    "torchvision",
    "torchmetrics",
    "deepunsup_helpers.models",
    "deepunsup_helpers.losses",
    "deepunsup_helpers.metrics",
    "deepunsup_helpers.plotting",
    "deepunsup_helpers.data",
    "deepunsup_helpers.training",
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, with full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # "from .x import y" in deepunsup_helpers/data is deepunsup_helpers.data.x
                package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
                module = ".".join([*package[: len(package) - node.level + 1], *filter(None, [module])])
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names if module.startswith("deepunsup_helpers")}
    return found


def part(module: str) -> str | None:
    """ "models" of "deepunsup_helpers.models.layers"; None for third parties."""
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "deepunsup_helpers" and len(pieces) > 1 else None


def own_part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    mine, used = own_part(path), {p for p in map(part, imports(path)) if p}
    used -= {mine, "files", "record"}  # what is below all others: atomic writing, warnings
    if mine in LEAVES:
        allowed = {"models"} if "deepunsup_helpers.models.layers" in imports(path) else set()
        assert used <= allowed, f"{mine} may know third parties and models/layers only, not {used}"
    if mine == "training":
        assert used <= {"saving"}, f"training knows none of the other parts, not {used}"
    if mine == "exercises":
        assert not used & {"widgets", "runner"}
    assert mine in ("widgets", "runner") or not used & {"widgets", "runner"}, "nothing imports widgets or runner"


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if own_part(p) in ("runner", "record", "__init__")],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_the_command_line_never_imports_torch(path):
    heavy = {module for module in imports(path) if any(module == h or module.startswith(h + ".") for h in HEAVY)}
    assert not heavy


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_answers_one_question_in_300_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
