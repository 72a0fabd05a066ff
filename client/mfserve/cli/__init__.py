"""The command line, ``mfserve``."""

from mfserve.cli._main import main

__all__ = ["main"]
