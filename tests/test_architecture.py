"""Imports point one way; files stay short. Read from the sources, nothing is imported."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "deepunsup_helpers"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "torchvision", "torchmetrics", "lightning")

# What each part of the package may import beside third parties and the small shared parts.
SHARED = {"files", "printing", "record", "results", "saving"}
PARTS = {
    "__init__": set(),
    **{name: set() for name in SHARED},
    "data": set(),
    "losses": set(),
    "models": {"losses"},
    "metrics": set(),
    "plotting": set(),
    "training": set(),
    "widgets": {"plotting", "training"},
    "exercises": {"data", "losses", "models", "metrics", "plotting", "training"},
    "runner": set(),
}

# Within the runner: sweep -> run -> report -> notebook, course beside, the command line on top.
BOTTOM = {"errors", "console", "files", "threads"}
ROOMS = {
    **{name: BOTTOM for name in BOTTOM},
    "notebook": BOTTOM,
    "report": BOTTOM | {"notebook"},
    "run": BOTTOM | {"notebook", "report"},
    "sweep": BOTTOM | {"notebook", "report", "run"},
    "course": BOTTOM | {"notebook", "run.execution", "run.kernels"},
    "grade": BOTTOM | {"notebook", "run.kernels"},
    "cli": BOTTOM | {"notebook", "report", "run", "sweep", "course", "grade"},
    "__init__": set(),
}


def name_of(path: Path) -> tuple[str, ...]:
    """("runner", "cli") of deepunsup_helpers/runner/cli.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts


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
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def below(path: Path, *folder: str) -> set[tuple[str, ...]]:
    """What a file imports below deepunsup_helpers or a folder of it: ("data", "images") of deepunsup_helpers.data.images."""
    prefix = (PACKAGE.name, *folder)
    names = (tuple(name.split(".")) for name in imports(path))
    return {name[len(prefix) :] for name in names if name[: len(prefix)] == prefix and len(name) > len(prefix)}


def test_parts_of_the_package_know_only_what_lies_below_them():
    wrong = []
    for path in FILES:
        mine = name_of(path)[0]
        used = {name[0] for name in below(path) if name[0] in PARTS} - {mine} - SHARED
        wrong += [f"{'/'.join(name_of(path))} imports {part}" for part in sorted(used - PARTS[mine])]
    assert wrong == []
    assert {name_of(path)[0] for path in FILES} <= set(PARTS), "a new part has its line above"


def test_the_shared_parts_know_only_one_another_and_the_face_loads_nothing_heavy():
    for path in FILES:
        if name_of(path)[0] in SHARED | {"__init__"}:
            assert {name[0] for name in below(path)} & set(PARTS) <= SHARED, path


def test_rooms_of_the_runner_point_one_way():
    wrong = []
    for path in FILES:
        if name_of(path)[0] != "runner":
            continue
        mine = name_of(path)[1]
        for name in below(path, "runner"):
            if name[0] in ROOMS and name[0] != mine and not {name[0], ".".join(name[:2])} & ROOMS[mine]:
                if len(name) > 1 or not any(allowed.startswith(f"{name[0]}.") for allowed in ROOMS[mine]):
                    wrong.append(f"{'/'.join(name_of(path))} imports {'.'.join(name)}")
    assert wrong == []
    assert {name_of(path)[1] for path in FILES if name_of(path)[0] == "runner"} == set(ROOMS)


def test_what_is_imported_from_the_package_is_there():
    """An import inside a function is seen only when that function runs; here it is seen at once."""
    modules = {".".join(name_of(path)).removesuffix(".__init__") for path in FILES} | {"__init__"}
    packages = {
        ".".join(name_of(path.parent)) for path in FILES if path.name == "__init__.py" and path.parent != PACKAGE
    }
    missing = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.ImportFrom)
                and not node.level
                and (node.module or "").startswith(f"{PACKAGE.name}.")
            ):
                module = node.module.removeprefix(f"{PACKAGE.name}.")
                if module not in modules | packages:
                    missing.append(f"{'/'.join(name_of(path))} imports {module}")
    assert missing == []


def test_the_core_of_training_knows_accelerators_only_by_their_small_parts():
    for path in FILES:
        if name_of(path)[0] == "training" and "accelerators" not in name_of(path) and path.name != "__init__.py":
            used = {name[1] for name in below(path, "training") if name[0] == "accelerators" and len(name) > 1}
            assert used <= {"ranks", "products"}, path


def test_the_command_line_never_imports_torch():
    wrong = []
    for path in FILES:
        if name_of(path)[0] in ("runner", "record", "files", "__init__"):
            wrong += [f"{path} imports {name}" for name in imports(path) if name.split(".")[0] in HEAVY]
    assert wrong == []


def test_the_runner_parses_in_one_place():
    """Its threads must not meet in Python's parser: see syntax.py."""
    parsing = {path.name for path in (PACKAGE / "runner").rglob("*.py") if "ast.parse(" in path.read_text("utf-8")}
    assert parsing == {"syntax.py"}


def test_a_file_answers_one_question_in_300_lines():
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_the_runner_does_not_grow():
    """3,300 lines are the aim: lower the number whenever the runner has shrunk. Grading and apply came later."""
    files = [
        path for path in (PACKAGE / "runner").rglob("*.py") if path.parent.name != "grade" and path.stem != "apply"
    ]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    assert lines <= 4_290
