"""What holds for all tests."""

from hypothesis import settings

# A busy machine is no bug (no deadline), and a suite that passed must pass again (the same examples each time).
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
