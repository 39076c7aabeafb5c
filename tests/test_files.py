"""A file is whole or as it was, readable by others, and nothing is left beside it."""

import os
import stat

import pytest

from deepunsup_helpers.files import write_atomically


def fill(text):
    def write(name):
        with open(name, "w") as file:
            file.write(text)

    return write


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        path = write_atomically(tmp_path / "new folder" / "a.txt", fill("whole"))
    finally:
        os.umask(before)
    assert path.read_text() == "whole" and stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(error, tmp_path):
    path = write_atomically(tmp_path / "a.txt", fill("old"))

    def broken(name):
        fill("ha")(name)
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, broken)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_link_goes_on_pointing_to_the_file_that_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "a.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    write_atomically(link, fill("new"))
    assert link.is_symlink() and target.read_text() == "new"


def test_a_very_long_name_can_be_written(tmp_path):
    path = tmp_path / ("a" * 250 + ".txt")
    assert write_atomically(path, fill("x")).read_text() == "x"
