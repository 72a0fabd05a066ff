"""Publishers that are really killed, beside readers and a collection: ``python -m tests.registry.crashes.nursery``."""
