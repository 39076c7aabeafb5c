"""Many runs of one notebook: `from deepunsup_helpers.runner.sweep import sweep`."""

from .sweep import sweep

__all__ = ["sweep"]
