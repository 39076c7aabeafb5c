"""How conftest.py judges notebooks under nbval: claims counted after the last cell, and no start when time is up."""

import re
import subprocess
import sys
import time
from pathlib import Path

from toy_notebooks import code, text, variables, write

from deepunsup_helpers.runner.notebook.digest import code_digest
from deepunsup_helpers.runner.notebook.files import read_notebook

ROOT = Path(__file__).resolve().parent.parent


def nbval(folder: Path, *arguments: str, **environment) -> tuple[int, str]:
    """pytest --nbval over `folder` with the project's conftest.py; its exit code and what it printed."""
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-ra", "--color=no", *arguments]
    run = subprocess.run(
        [*command, "-p", "no:xdist", "-p", "no:cacheprovider", str(folder)],
        cwd=folder, env=variables(**environment), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return run.returncode, run.stdout + run.stderr


def claims(held: int, asked: int) -> str:
    """A cell that claims `asked` things of which `held` hold, and one that is not asked."""
    return (
        "from deepunsup_helpers import claim\n"
        f"for k in range({asked}):\n    claim(f'claim number {{k}}', k < {held})\n"
        "claim('never asked', False, when=False)"
    )


def test_a_notebook_fails_when_fewer_than_nine_in_ten_of_its_claims_hold(tmp_path):
    strict = (
        "import os\nassert os.environ['DEEPUNSUP_STRICT'] == '1'\nassert os.path.isdir(os.environ['DEEPUNSUP_OUTPUT'])"
    )
    write(tmp_path / "a_nine.ipynb", code(strict, count=2), code(claims(9, 10), "nbval-ignore-output", count=3))
    write(
        tmp_path / "b_eight.ipynb", code(claims(17, 19), "nbval-ignore-output", count=2), code("assert True", count=3)
    )
    write(tmp_path / "c_none.ipynb", code("assert True", count=2))
    status, printed = nbval(tmp_path)
    assert status == 1, printed
    assert re.findall(r"^FAILED (\S+)", printed, re.M) == ["b_eight.ipynb::claims"]
    assert "17 of 19 claims hold; not: claim number 17; claim number 18" in printed
    assert "a_nine.ipynb: 9 of 10 claims hold; not: claim number 9" in printed, "what did not hold is told all the same"


def test_changed_notebooks_come_first_and_none_is_begun_when_the_time_is_up(tmp_path):
    """Changed since they were stored before unchanged, long before short; all are named as left out here."""
    for name, seconds, stored in (("a", 90, True), ("b", 10, False), ("c", 40, False), ("d", 95, True)):
        path = write(tmp_path / f"{name}.ipynb", code("1 + 1"), seconds=seconds)
        if stored:
            digest = code_digest(read_notebook(path))
            write(path, text("Prose may change."), code("1 + 1"), seconds=seconds, digest=digest)
    (tmp_path / "test_z.py").write_text("def test(): pass\n")
    status, printed = nbval(tmp_path, "-v", DEEPUNSUP_LAST_START=str(time.time() - 1))
    files = re.findall(r"^(\w+)(?:\.py|)::\S+ ", printed, re.M)
    assert status == 0 and list(dict.fromkeys(files)) == ["test_z", "c", "b", "d", "a"], printed
    assert "1 passed, 12 skipped" in printed and all(f"{name}.ipynb was not started" in printed for name in "abcd")
