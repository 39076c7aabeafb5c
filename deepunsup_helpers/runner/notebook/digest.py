"""What a notebook computes with, as one digest: its code cells and the code of ours that they can import."""

import ast
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from .files import PACKAGE_ROOT, Notebook, source_of, tags_of
from .syntax import MAGIC, parse_python

PACKAGE = "deepunsup_helpers"
RUNNER = f"{PACKAGE}.runner"  # it starts notebooks; none computes with it


def code_digest(notebook: Notebook) -> str:
    """SHA-256 of the sources and tags of the code cells, and of every module that they reach.

    Prose and outputs do not count, nor does a part of the package that the notebook never imports.
    """
    code = [[source_of(cell), tags_of(cell)] for cell in notebook.code_cells]
    digest = hashlib.sha256(json.dumps(code).encode())
    for name, path in sorted(reached_modules(notebook).items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def reached_modules(notebook: Notebook) -> dict[str, Path]:
    """Name and file of each module of the package, or beside the notebook, that the code cells can import.

    Imports are followed from file to file, wherever in a file they stand; nothing is run. An `__init__.py` that only names
    what its package offers computes nothing: of its imports only the name asked for is followed. A name that a package
    looks up when asked (`__getattr__`) leads to the modules that stand beside it in that package's tables.
    """
    folder, found, seen = notebook.path.parent, {}, set()
    waiting = [name for cell in notebook.code_cells for name in imported(MAGIC.sub("", source_of(cell)))]
    while waiting:
        name = waiting.pop()
        if name in seen or f"{name}.".startswith(f"{RUNNER}."):
            continue
        seen.add(name)
        parent, _, leaf = name.rpartition(".")
        waiting += [parent] if parent else []
        if path := _file_of(name, folder):
            if not only_names(path):
                found[name] = path
                waiting += imported(_text(path), name if path.name == "__init__.py" else parent)
        elif parent and (path := _file_of(parent, folder)):
            offered = imported(_text(path), parent) if only_names(path) else []
            waiting += [full for full in offered if leaf in ("*", full.rpartition(".")[2])]
            homes = looked_up(_text(path), parent, leaf)
            waiting += [*homes, *(f"{home}.{leaf}" for home in homes)]
    return found


def only_names(path: Path) -> bool:
    """Whether a file is a package's `__init__.py` of imports and tables: nothing is computed in it."""
    body = nodes[0].body if path.name == "__init__.py" and (nodes := _nodes(_text(path))) else []
    functions = [part for part in body if isinstance(part, ast.FunctionDef) and part.name in ("__getattr__", "__dir__")]
    tables = [part for part in body if isinstance(part, (ast.Assign, ast.Expr))]
    plain = [part for part in tables if not any(isinstance(node, (ast.Call, ast.Lambda)) for node in ast.walk(part))]
    imports = [part for part in body if isinstance(part, (ast.Import, ast.ImportFrom))]
    renamed = any(alias.asname for part in imports for alias in part.names)
    return bool(body) and not renamed and len(functions) + len(plain) + len(imports) == len(body)


def _file_of(name: str, folder: Path) -> Path | None:
    """The file of a module of the package, or of one beside the notebook."""
    base = (PACKAGE_ROOT if name.split(".")[0] == PACKAGE else folder).joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_name(f"{base.name}.py")) if path.is_file()), None)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@cache
def imported(source: str, package: str = "") -> list[str]:
    """Every name that a source in a package imports, in full; `a.b.*` stands for what is looked up in a.b later.

    A source that cannot be read may import anything of the package.
    """
    if not (nodes := _nodes(source)):
        files = (PACKAGE_ROOT / PACKAGE).rglob("*.py")
        dotted = [".".join(path.relative_to(PACKAGE_ROOT).with_suffix("").parts) for path in files]
        return [name.removesuffix(".__init__") for name in dotted]
    names = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = [*parts[: len(parts) + 1 - node.level], node.module] if node.level else [node.module]
            names += [".".join(filter(None, [*base, alias.name])) for alias in node.names]
    return names + [f"{name}.*" for name in names if not name.endswith("*")]


@cache
def looked_up(source: str, package: str, name: str) -> tuple[str, ...]:
    """The modules in which a package that has a `__getattr__` may find a name; all that it mentions, for `*`."""
    nodes = _nodes(source)
    if not any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in nodes):
        return ()
    tables = [zip(node.keys, node.values) for node in nodes if isinstance(node, ast.Dict)]
    entries = [_strings(key) | _strings(value) for table in tables for key, value in table if key]
    texts = set().union(*(entry for entry in entries if name in entry)) or _strings(nodes[0])
    modules = {text.lstrip(".") for text in texts if re.fullmatch(r"[\w.]*\w", text)}
    return tuple(modules | {f"{package}.{module}" for module in modules})


def _nodes(source: str) -> list[ast.AST]:
    """The nodes of a source's syntax tree, its root first; none where it is not Python."""
    try:
        return list(ast.walk(parse_python(source)))
    except (SyntaxError, ValueError, RecursionError):
        return []


def _strings(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}
