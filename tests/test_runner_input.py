"""Bad input ends in one line before anything starts; files and folders are whole or absent."""

import os
import sys
import threading

import pytest
from toy_notebooks import deepunsup, facts, write

from deepunsup_helpers.runner import files
from deepunsup_helpers.runner.errors import CommandError
from deepunsup_helpers.runner.run.folder import claim_folder


@pytest.mark.parametrize(("words", "told"), [
    (["run", "1", "-p", "epoch=1"], "did you mean 'epochs'?"),
    (["run", "1", "-p", "quick=maybe"], "expected true or false"),
    (["run", "1", "-p", "epochs", "8"], "write -p epochs=VALUE"),
    (["sweep", "1", "-p", "epochs", "1..8"], "write -p epochs=VALUE"),
    (["run", "all", "-p", "epok=1"], "no notebook has a parameter 'epok'"),
    (["run", "all", "--preset", "huge"], "no notebook has a preset 'huge'"),
    (["run", "7"], "there is no notebook 7"),
    (["run", "1", "-o", "file/below"], "Not a directory"),
    (["run", "1", "-o", "file"], "File exists"),
    (["run", "all", "-o", "file"], "cannot make the run's folder"),
    (["run", "1", "-o", "full"], "not empty"),
    (["run", "1", "-o", "finished"], "already holds a run (completed)"),
    (["run", "1", "--timeout", "0"], "--timeout"),
    (["run", "1", "--timeout", "soon"], "--timeout"),
    (["run", "all", "--jobs", "0"], "--jobs"),
    (["rum"], "No such command"),
])  # fmt: skip
def test_bad_input_ends_in_2_with_one_line_and_leaves_nothing(words, told, tmp_path):
    write(tmp_path / "notebooks" / "01_toy.ipynb")
    (tmp_path / "file").write_text("kept")
    for name, content in (("full/mine.txt", "mine"), ("finished/run.json", '{"status": "completed"}')):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = deepunsup(*words, cwd=tmp_path)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    if words[0] == "run" and not told.startswith("--"):
        assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_an_unwritable_folder_ends_in_one_line(tmp_path):
    write(tmp_path / "notebooks" / "01_toy.ipynb")
    done = deepunsup(
        "run", "1", "-o", "/proc/nothing/below" if sys.platform == "linux" else "notebooks/01_toy.ipynb/x", cwd=tmp_path
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_an_unexpected_os_error_is_one_line_too(tmp_path, monkeypatch, capsys):
    from deepunsup_helpers.runner import cli
    from deepunsup_helpers.runner.notebook import files as notebooks

    def full(*_):
        raise OSError(28, "No space left on device", "/disk/run.json")

    monkeypatch.setattr(notebooks, "course", full)
    monkeypatch.setattr(sys, "argv", ["deepunsup", "list"])
    monkeypatch.delenv("DEEPUNSUP_DEBUG", raising=False)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == "deepunsup: No space left on device: /disk/run.json\n"


def test_runs_of_one_second_get_folders_of_their_own(tmp_path):
    folders = [claim_folder("04_toy", None, tmp_path) for _ in range(3)]
    assert len(set(folders)) == 3 and all(folder.parent == tmp_path / "runs" / "04_toy" for folder in folders)


def test_of_many_who_want_one_empty_folder_one_gets_it(tmp_path):
    (tmp_path / "mine").mkdir()
    wins, losses, gate = [], [], threading.Barrier(8)

    def claim():
        gate.wait()
        try:
            wins.append(claim_folder("x", "mine", tmp_path))
        except CommandError as error:
            losses.append(error)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(wins) == 1 and len(losses) == 7
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["run.json"]


def test_of_many_who_create_one_file_one_succeeds(tmp_path):
    wins, gate = [], threading.Barrier(8)

    def create(number):
        gate.wait()
        try:
            files.create_text(tmp_path / "one.txt", str(number))
            wins.append(number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(wins) == 1 and (tmp_path / "one.txt").read_text() == str(wins[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    files.write_json(tmp_path / "a.json", {"x": 1})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_json(tmp_path / "a.json", {"x": 2})
    assert facts(tmp_path, "a.json") == {"x": 1} and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
