"""Every command and option is documented, because the reference is made from them."""

from __future__ import annotations

from tests.client.cli.reference import PAGE, commands, page

DESIGNED = {
    "serve", "trainer", "train", "tune", "recommend", "predict", "similar", "models", "versions", "alias", "promote",
    "rollback", "alias-history", "delete-version", "delete-model", "jobs", "status", "datasets", "embeddings", "report",
    "bench", "compare", "export", "import", "gc", "token",
}  # fmt: skip


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make docs"


def test_every_command_and_parameter_has_a_help_text() -> None:
    found = commands()
    assert set(found) == DESIGNED
    for name, command in found.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), (name, parameter.name)
