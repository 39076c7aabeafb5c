"""What a learner meets on the page of a notebook, and which names are used twice: `python tools/page.py NB...`."""

import ast
import re
from typing import NamedTuple

import click

from deepunsup_helpers.runner.cli import main
from deepunsup_helpers.runner.notebook.files import find_notebook, read_notebook, source_of, tags_of

DRAWS = {
    *(
        "plot scatter imshow hist bar barh fill_between contour contourf quiver set set_title set_xlabel set_ylabel"
    ).split(),
    *(
        "set_ylim set_xlim set_xticks set_yticks legend axhline axvline text annotate subplots figure colorbar show"
    ).split(),
    *("image_grid image_rows curves dots latent_scatter guess_line reference_line label_points explore").split(),
    *("pcolormesh errorbar step vlines hlines suptitle supxlabel twinx margins grid").split(),
}
SPEAKS = {"print", "show_table", "answer", "claim", "record", "save_model", "save_table", "save_images"}
FREE = {"fig", "ax", "axes", "_"}  # names that every figure may use again
BODIES = ("body", "orelse", "finalbody", "handlers")


class Page(NamedTuple):
    """Lines on the screen as the notebook opens; `idea` is the share that is no drawing, printing, checking, importing."""

    cells: int
    words: int
    shown: int
    idea: float
    first: int  # lines before the first figure
    longest: int
    wide: int  # lines over 100 characters


def visible(source: str) -> str:
    """A cell's source without what stands between the solution's marks."""
    return re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "...", source, flags=re.DOTALL)


def is_folded(cell: dict) -> bool:
    """Whether a cell opens as a bar."""
    return bool(cell["metadata"].get("jupyter", {}).get("source_hidden"))


def tree_of(source: str) -> ast.Module:
    """The cell's statements; IPython's own lines are blank."""
    return ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source))


def about_the_idea(statement: ast.stmt) -> bool:
    """Whether a statement without a body of its own does more than import, check, draw, print or record."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.Assert)):
        return False
    calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
    return not {getattr(f, "attr", getattr(f, "id", "")) for f in calls} & (DRAWS | SPEAKS)


def lines_of(source: str) -> dict[int, bool]:
    """Each line that carries code, and whether it is about the idea; docstrings and comments carry none."""
    rows, found = source.splitlines(), {}

    def walk(statements: list) -> None:
        for statement in statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                if isinstance(statement.value.value, str):
                    continue
            inner = [child for name in BODIES for child in getattr(statement, name, [])]
            last = min((child.lineno for child in inner), default=statement.end_lineno + 1)
            own = range(statement.lineno, max(last, statement.lineno + 1))
            walk(inner)
            below = [found[n] for child in inner for n in range(child.lineno, child.end_lineno + 1) if n in found]
            idea = any(below) if inner and below else about_the_idea(statement)
            found.update({n: idea for n in own if rows[n - 1].strip() and not rows[n - 1].strip().startswith("#")})

    walk(tree_of(source).body)
    return found


def measure(cells: list[dict]) -> Page:
    """The page that these cells make."""
    words = sum(len(source_of(cell).split()) for cell in cells if cell["cell_type"] == "markdown")
    shown = idea = longest = wide = before = 0
    drawn = False
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        source = visible(source_of(cell))
        hidden = is_folded(cell) or "parameters" in tags_of(cell)
        lines = {} if hidden else lines_of(source)
        shown, idea, longest = shown + len(lines), idea + sum(lines.values()), max(longest, len(lines))
        wide += sum(len(source.splitlines()[n - 1]) > 100 for n in lines)
        before += 0 if drawn else len(lines)
        drawn = drawn or any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    return Page(len(cells), words, shown, idea / max(1, shown), before, longest, wide)


def bound(source: str) -> set[str]:
    """The names that a cell binds at its top level, loop variables left out."""
    names, loops = set(), set()

    def targets(node: ast.AST) -> set[str]:
        stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        return {name.id for name in stored}

    def walk(statements: list) -> None:
        for statement in statements:
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                names.add(statement.name)
                continue
            if isinstance(statement, ast.For):
                loops.update(targets(statement.target))
            elif isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
                aims = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                for aim in aims:
                    names.update(targets(aim))
            elif isinstance(statement, ast.With):
                names.update(*(targets(item.optional_vars) for item in statement.items if item.optional_vars), set())
            for value in ast.iter_child_nodes(statement) if not isinstance(statement, ast.For) else ():
                if isinstance(value, ast.expr):
                    names.update(n.target.id for n in ast.walk(value) if isinstance(n, ast.NamedExpr))
            walk([child for name in BODIES for child in getattr(statement, name, [])])

    walk(tree_of(source).body)
    return names - loops - FREE


def bound_twice(cells: list[dict]) -> dict[str, list[int]]:
    """Names bound in more than one cell, with these cells' places: a cell that is run again must find what it left."""
    places: dict[str, list[int]] = {}
    for place, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            for name in bound(source_of(cell)):
                places.setdefault(name, []).append(place)
    # `mine = checked(mine, exercise)` puts a learner's function through its check
    own = {place for place, cell in enumerate(cells) if "nbgrader" in cell["metadata"]}
    return {name: where for name, where in sorted(places.items()) if len(where) > 1 and not set(where) <= own}


@click.command()
@click.argument("nb", nargs=-1, required=True)
def page(nb: tuple[str, ...]) -> None:
    """Print the page of each notebook NB: lines on the screen, share of the idea, names bound in two cells."""
    for notebook in [find_notebook(text) for text in nb]:
        cells = read_notebook(notebook.path).cells
        found = measure(cells)
        click.echo(
            f"{notebook.name}: {found.cells} cells, {found.words} words, {found.shown} lines shown, "
            f"{found.idea:.0%} idea, {found.first} before the first figure, longest {found.longest}, {found.wide} wide"
        )
        for name, where in bound_twice(cells).items():
            click.echo(f"  {name} is bound in cells {', '.join(map(str, where))}")


if __name__ == "__main__":
    main(page)
