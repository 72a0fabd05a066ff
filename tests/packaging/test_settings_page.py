"""Every setting is documented, because the tables are made from them."""

from __future__ import annotations

from tests.packaging.settings_page import PAGE, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make docs"
