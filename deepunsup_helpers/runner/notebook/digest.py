"""What a notebook computes with, as one digest: its code cells and the code of ours that they can import."""

import ast
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from .files import PACKAGE_ROOT, Notebook, source_of, tags_of

PACKAGE = "deepunsup_helpers"
RUNNER = f"{PACKAGE}.runner"  # it starts notebooks; none computes with it
MAGIC = re.compile(r"^\s*[%!].*$", flags=re.MULTILINE)  # IPython's own lines


def code_digest(notebook: Notebook) -> str:
    """SHA-256 of the sources and tags of the code cells, and of every module that they reach.

    Prose and outputs do not count, nor does a part of the package that the notebook never imports.
    """
    code = [[source_of(cell), tags_of(cell)] for cell in notebook.cells if cell.get("cell_type") == "code"]
    digest = hashlib.sha256(json.dumps(code).encode())
    for name, path in sorted(reached_modules(notebook).items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def reached_modules(notebook: Notebook) -> dict[str, Path]:
    """Name and file of each module of the package, or beside the notebook, that the code cells can import.

    Imports are followed from file to file, wherever in a file they stand; nothing is run. A name that a package looks up
    when asked (`__getattr__`) leads to the modules that stand beside it in that package's tables.
    """
    folder, found, seen = notebook.path.parent, {}, set()
    waiting = []
    for cell in notebook.cells:
        if cell.get("cell_type") == "code":
            waiting += imported(MAGIC.sub("", source_of(cell)), "__main__", False)
    while waiting:
        name = waiting.pop()
        if name in seen or name == RUNNER or name.startswith(f"{RUNNER}."):
            continue
        seen.add(name)
        parent, _, leaf = name.rpartition(".")
        waiting += [parent] if parent else []
        if path := _file_of(name, folder):
            found[name] = path
            waiting += imported(_text(path), name, path.name == "__init__.py")
        elif parent and (path := _file_of(parent, folder)):
            waiting += looked_up(_text(path), parent, leaf)
    return found


def _file_of(name: str, folder: Path) -> Path | None:
    """The file of a module of the package, or of one beside the notebook."""
    base = (PACKAGE_ROOT if name.split(".")[0] == PACKAGE else folder).joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_name(f"{base.name}.py")) if path.is_file()), None)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@cache
def imported(source: str, module: str, is_package: bool) -> tuple[str, ...]:
    """Every name that a source imports, in full; `a.b.*` stands for what is looked up in a.b later.

    A source that cannot be read may import anything of the package.
    """
    nodes = _nodes(source)
    if nodes is None:
        files = (PACKAGE_ROOT / PACKAGE).rglob("*.py")
        dotted = (".".join(path.relative_to(PACKAGE_ROOT).with_suffix("").parts) for path in files)
        return tuple(name.removesuffix(".__init__") for name in dotted)
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = module.split(".")
            start = here[: len(here) - node.level + is_package] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            names += [f"{base}.{alias.name}" for alias in node.names]
    return tuple(names + [f"{name}.*" for name in names if not name.endswith("*")])


@cache
def looked_up(source: str, package: str, name: str) -> tuple[str, ...]:
    """The modules in which a package that has a `__getattr__` may find a name; all that it mentions, for `*`."""
    nodes = _nodes(source) or []
    if not any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in nodes):
        return ()
    tables = [zip(node.keys, node.values) for node in nodes if isinstance(node, ast.Dict)]
    entries = [set(_strings(key)) | set(_strings(value)) for table in tables for key, value in table if key]
    texts = set().union(*(entry for entry in entries if name in entry)) or set().union(*map(_strings, nodes))
    texts = {text.lstrip(".") for text in texts if re.fullmatch(r"[\w.]+", text)}
    return tuple(texts | {f"{package}.{text}" for text in texts if text})


def _nodes(source: str) -> list[ast.AST] | None:
    """The nodes of a source's syntax tree, or None where it is not Python."""
    try:
        return list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _strings(node: ast.AST) -> list[str]:
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
