"""How many threads a process may use when several work at once."""

from collections.abc import Mapping

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


def available_cores() -> int:
    """Cores this process may use: affinity and container limits are respected."""
    from joblib import cpu_count

    return cpu_count()


def thread_variables(workers: int, environment: Mapping[str, str], *, fixed: bool = False) -> dict[str, str]:
    """Environment for one of `workers` processes: cores/N threads, set before torch loads.

    With more they would stop each other: OpenMP's threads spin while they wait. A smaller number in `environment`, with
    which the process would start, holds for all variables: torch would take the larger one.

    Args:
        workers: processes at work at the same time; 1 leaves everything as it is, unless `fixed`.
        fixed: a number even for one process, so that its threads do not follow the machine's load.
    """
    if workers <= 1 and not fixed:
        return {}
    present = (environment.get(name, "") for name in THREAD_VARIABLES)
    given = [int(text) for text in present if text.isdecimal() and text != "0"]
    return dict.fromkeys(THREAD_VARIABLES, str(min([max(1, available_cores() // workers), *given])))
