"""Of a student's notebook, the statements that one function needs: nothing else is run."""

import ast
import symtable
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..notebook.files import source_of
from ..notebook.syntax import parse_python


@dataclass(frozen=True)
class Statement:
    """One statement at the top level of a cell: its text, the names it binds, the names it looks up."""

    cell: int
    text: str
    binds: frozenset[str]
    uses: frozenset[str]


@dataclass(frozen=True)
class Code:
    """The statements of a notebook in order, and the cells that are no Python, by number, with the reason."""

    statements: list[Statement]
    broken: dict[int, str] = field(default_factory=dict)


def read_code(cells: list[dict]) -> Code:
    """The statements of all code cells; lines of IPython's own (%matplotlib, !pip) are left out."""
    statements, broken = [], {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        lines = source_of(cell).split("\n")
        if lines[0].startswith("%%"):
            continue
        source = "\n".join("pass" if line[:1] in ("%", "!") else line for line in lines)
        try:
            tree = parse_python(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            broken[number] = f"{type(error).__name__}{where}: {getattr(error, 'msg', None) or error}"
            continue
        statements += [_statement(number, node, source) for node in tree.body]
    return Code(statements, broken)


def needed_for(name: str, code: Code, *, cells: Iterable[int], before: int) -> list[Statement]:
    """The statements that bind `name` in the given cells, and all that these rest on, in order.

    Args:
        name: of a function.
        code: a notebook's.
        cells: where `name` itself may be bound: the exercise's cell.
        before: what stands in this cell or below is left out: the exercise's check and what follows it.
    Returns:
        the statements; none where `name` is bound nowhere.
    """
    above = [statement for statement in code.statements if statement.cell < before]
    wanted = [s for s in above if name in s.binds and s.cell in set(cells)]
    chosen, asked = {id(s): s for s in wanted}, {name}
    while wanted:
        uses = wanted.pop().uses - asked
        asked |= uses
        for other in above:
            if other.binds & (uses | {"*"}) and id(other) not in chosen:
                chosen[id(other)] = other
                wanted.append(other)
    return [s for s in above if id(s) in chosen]


def _statement(cell: int, node: ast.stmt, source: str) -> Statement:
    lines = source.split("\n")
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    text = "\n".join(lines[first - 1 : node.end_lineno])
    text = text if node.col_offset == 0 and ";" not in text else ast.get_source_segment(source, node) or text
    binds, uses = _names(symtable.symtable(ast.unparse(node), "cell", "exec"))
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        binds.add("*")  # anything, so always needed
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute | ast.Subscript) and isinstance(inner.ctx, ast.Store):
            while isinstance(inner, ast.Attribute | ast.Subscript):
                inner = inner.value
            if isinstance(inner, ast.Name):
                binds.add(inner.id)  # `table["x"] = 1` belongs to what makes the table
    return Statement(cell, text, frozenset(binds), frozenset(uses))


def _names(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """The names that a statement binds for others, and those that it, and the functions in it, look up outside."""
    binds = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    uses = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        uses |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
        waiting += inner.get_children()
    return binds, uses
