"""The page in a real browser."""

from __future__ import annotations

from pathlib import Path

from mfserve_trainer.report import draw, page
from tests.browser import browser, complaints, figure_of, needs_browser, open_page, point_at, wait_for_text
from tests.trainer.report.samples import HOSTILE, ORIGIN, Sample
from tests.trainer.report.test_page import EPOCHS, TITLES


@needs_browser
def test_the_page_draws_itself_tells_titles_on_hover_and_runs_no_other_script(
    fit: Sample, tmp_path: Path
) -> None:
    pictures = draw(fit.content, EPOCHS, fit.holdout, seed=0)
    file = tmp_path / "report.html"
    file.write_bytes(page(fit.facts(), pictures, **ORIGIN).data)
    with browser() as driver:
        open_page(driver, file)
        assert [heading.text for heading in driver.find_elements("tag name", "h3")][: len(TITLES)] == TITLES
        canvases = driver.execute_script("return Bokeh.documents.map((one) => one.roots()[0].inner_width)")
        assert len(canvases) == len(TITLES)
        assert min(canvases) > 300
        # A title that ran as a script would open a dialog, which ends the test.
        point_at(driver, figure_of(driver, "Map of the items"), 0)
        wait_for_text(driver, f"{HOSTILE} i")  # and its id
        point_at(driver, figure_of(driver, "Calibration of predicted ratings"), 0)
        wait_for_text(driver, "mean prediction")
        assert complaints(driver) == []
        # Not by our escaping alone: should a script get through, the page's policy stops it.
        smuggled = "<script>document.title = 'owned'</script></main>"
        file.write_text(file.read_text("utf-8").replace("</main>", smuggled), "utf-8")
        open_page(driver, file)
        assert driver.title.startswith("mfserve report: ")
        assert "Content Security Policy" in "".join(complaints(driver))
