"""The command line, ``mfserve``."""

import os

# Read when grpc is imported. What it tells of handshakes that failed is what our one line is made of.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from mfserve.cli._main import main

__all__ = ["main"]
