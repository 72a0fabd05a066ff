"""Alembic migrations of the registry's tables.

``REVISIONS`` names them in order, so that opening an up-to-date registry need not import Alembic; a test compares
it with the scripts.
"""

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
HEAD = REVISIONS[-1]
