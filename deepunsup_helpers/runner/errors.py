"""What goes wrong and is said in one line."""

import difflib
from collections.abc import Iterable

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_STOPPED, EXIT_INTERRUPTED = 1, 2, 3, 130


class CommandError(Exception):
    """An error the user can put right: the message says what was wrong, what was expected, what to do.

    Args:
        message: one line (or a few), without a traceback.
        exit_code: the exit status of the command that meets it.
    """

    def __init__(self, message: str, exit_code: int = EXIT_BAD_INPUT):
        super().__init__(message)
        self.exit_code = exit_code


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the nearest known word, otherwise the list of what is known."""
    names = list(dict.fromkeys(known))
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {lower[close[0]]!r}?"
    return f"; known: {', '.join(names)}." if names else "; there are none."


def describe(error: BaseException) -> str:
    """Any error in one line."""
    if isinstance(error, CommandError):
        return str(error)
    return describe_os_error(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def describe_os_error(error: OSError) -> str:
    """'No space left on device: /path' of an OSError, without its number."""
    reason = error.strerror or str(error) or type(error).__name__
    file = error.filename2 or error.filename  # of a file that was to be replaced, its own name
    return f"{reason}: {file}" if file else reason
