"""A real browser: headless Chromium, as Debian packages it, over its driver. `.ci/run` installs both."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.programs import needs

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE = 30.0

needs_browser = needs("chromium", "chromedriver")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1200",
)


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, gone afterwards."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        # The driver's path is given, so that selenium looks for none on the network.
        driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


def open_page(driver: webdriver.Chrome, page: Path) -> None:
    """Opens the file and waits until Bokeh has drawn all of it."""
    driver.get(page.resolve().as_uri())
    WebDriverWait(driver, PATIENCE).until(lambda _: driver.execute_script(_ALL_DRAWN))


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the console says of warnings and errors since it was last asked."""
    entries = driver.get_log("browser")  # type: ignore[no-untyped-call] # the one method without types
    return [entry["message"] for entry in entries if entry["level"] in {"WARNING", "SEVERE"}]


def figure_of(driver: webdriver.Chrome, title: str) -> str:
    """The id of the element in which the picture of this title is drawn."""
    drawn = driver.find_element(By.XPATH, f"//figure[h3='{title}']/div").get_attribute("id")
    assert drawn
    return drawn


def point_at(driver: webdriver.Chrome, figure: str, point: int) -> None:
    """Moves the pointer onto a point of the figure's scatter plot."""
    x, y = driver.execute_script(_WHERE, figure, point)
    canvas = driver.find_element(By.ID, figure)
    middle_x, middle_y = canvas.size["width"] / 2, canvas.size["height"] / 2
    ActionChains(driver).scroll_to_element(canvas).move_to_element_with_offset(
        canvas, round(x - middle_x), round(y - middle_y)
    ).perform()


def wait_for_text(driver: webdriver.Chrome, wanted: str) -> None:
    """Waits until the text is shown on the page, such as in a tooltip."""
    WebDriverWait(driver, PATIENCE).until(lambda _: wanted in driver.execute_script(_TEXT))


_ALL_DRAWN = """
const wanted = document.querySelectorAll("[id^=figure-]").length;
return wanted > 0 && Bokeh.documents.length === wanted && Bokeh.documents.every((one) => one.is_idle);
"""

_WHERE = """
const [figure, point] = arguments;
const view = [...Bokeh.index.roots].find((one) => one.el.parentElement.id === figure);
const scatter = view.model.renderers.find((one) => one.glyph.type === "Scatter");
const [x, y] = ["x", "y"].map((name) => scatter.data_source.get(scatter.glyph[name].field)[point]);
const outer = document.getElementById(figure).getBoundingClientRect();
const inner = view.canvas_view.el.getBoundingClientRect();
return [
  inner.left - outer.left + view.frame.x_scale.compute(x),
  inner.top - outer.top + view.frame.y_scale.compute(y),
];
"""

# Bokeh keeps its elements in shadow trees, where neither textContent nor a selector looks.
_TEXT = """
const within = (node) => {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (["STYLE", "SCRIPT"].includes(node.tagName)) return "";
  return [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(within).join("");
};
return within(document.body);
"""
