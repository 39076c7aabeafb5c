"""The student's edition of a notebook: solutions replaced by blanks, no outputs, no instructor's cells."""

import re
from pathlib import Path

import nbformat

from ..errors import CommandError
from ..files import notebook_text

REGION = re.compile(r"(?ms)^([ \t]*)### BEGIN SOLUTION\s*?\n(.*?)^[ \t]*### END SOLUTION\s*?$")
MARKER = re.compile(r"#+[ \t]*(BEGIN|END)[ \t]+SOLUTION.*", re.IGNORECASE)
BLANK = 'raise NotImplementedError("replace this line with your answer")'


def blanked(source: str) -> str:
    """A cell's text with each marked region replaced, at the indentation of its first marker.

    Raises:
        ValueError: a marker without its partner, or one that is misspelt: a solution would be given away.
    """
    text = REGION.sub(lambda region: region[1] + BLANK, source)
    inside = "".join(region[2] for region in REGION.finditer(source))
    if wrong := MARKER.search(text) or MARKER.search(inside):
        raise ValueError(
            f"{wrong[0]!r} has no partner or is misspelt: expected exactly '### BEGIN SOLUTION' and, below it, "
            "'### END SOLUTION', alone in their lines"
        )
    return text


def student_edition(path: Path) -> str:
    """The text of the student's copy of the notebook at `path`.

    Raises:
        CommandError: the solution markers do not match.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    notebook.cells = [cell for cell in notebook.cells if "instructor" not in cell.metadata.get("tags", [])]
    try:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source, cell.outputs, cell.execution_count = blanked(cell.source), [], None
    except ValueError as error:
        raise CommandError(f"{path}: the solution markers do not match: {error}.") from error
    return notebook_text(notebook)
