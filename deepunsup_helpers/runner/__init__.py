"""The command line `deepunsup`: runs notebooks as programs. Nothing in here imports torch."""

import sys

# nbformat brings jsonschema, which at import compiles a grammar of international web addresses if it finds the package:
# 0.7 s of processor time in every process, for a check that no notebook asks for. None means "not importable".
sys.modules.setdefault("rfc3987_syntax", None)
