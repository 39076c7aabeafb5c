"""Helpers of the course *Deep unsupervised learning, by running it*.

Importing this package imports neither torch nor anything else that is heavy; the parts are imported by name:
`from deepunsup_helpers.data import load`, `from deepunsup_helpers.training import fit`, and so on.
"""

from deepunsup_helpers.record import claim, record, warn

__all__ = ["claim", "record", "warn"]
__version__ = "0.1.0"
