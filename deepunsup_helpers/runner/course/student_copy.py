"""The student's edition of a notebook: solutions replaced by blanks, no outputs, no instructor's cells."""

import re
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor, Preprocessor, TagRemovePreprocessor
from nbformat import NotebookNode

from ..errors import CommandError
from ..files import notebook_text

BEGIN = re.compile(r"\s*### BEGIN SOLUTION\s*$")
END = re.compile(r"\s*### END SOLUTION\s*$")
MARKER = re.compile(r"#+\s*(BEGIN|END)\s+SOLUTION", flags=re.IGNORECASE)
BLANK = 'raise NotImplementedError("replace this line with your answer")'


class BlankPreprocessor(Preprocessor):
    """Replaces what stands between the solution markers by one line that says the answer is missing."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Blank one cell; text cells are left alone."""
        if cell.cell_type == "code":
            cell.source = blanked(cell.source)
        return cell, resources


def blanked(source: str) -> str:
    """A cell's text with each marked region replaced, at the indentation of its first marker.

    Raises:
        ValueError: a marker without its partner, or one that is misspelt: a solution would be given away.
    """
    lines, inside = [], False
    for number, line in enumerate(source.splitlines(), start=1):
        if BEGIN.match(line):
            if inside:
                raise ValueError(f"line {number}: a second BEGIN SOLUTION before the first one ended")
            inside = True
            lines.append(line[: len(line) - len(line.lstrip())] + BLANK)
        elif END.match(line):
            if not inside:
                raise ValueError(f"line {number}: END SOLUTION without a beginning")
            inside = False
        elif MARKER.search(line):
            raise ValueError(f"line {number}: expected exactly '### BEGIN SOLUTION' or '### END SOLUTION', alone")
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError("BEGIN SOLUTION without an end")
    return "\n".join(lines)


def student_edition(path: Path) -> str:
    """The text of the student's copy of the notebook at `path`.

    Raises:
        CommandError: the solution markers do not match.
    """
    notebook = nbformat.read(path, as_version=4)
    steps = [
        TagRemovePreprocessor(remove_cell_tags={"instructor"}, enabled=True),
        ClearOutputPreprocessor(enabled=True),
        BlankPreprocessor(enabled=True),
    ]
    try:
        for step in steps:
            notebook, _ = step(notebook, {})
    except ValueError as error:
        raise CommandError(f"{path}: the solution markers do not match: {error}.") from error
    notebook.metadata.pop("widgets", None)
    return notebook_text(notebook)
