"""Papers of bills sent in a real browser, from a phone and at a desk."""

import pytest

from tests.billing.test_papers import PNG
from tests.factories import MONTH, a_record, bring_in
from tests.web.test_company_in_a_browser import (
    chromium,
    is_no_wider_than_the_window,
    operator,
    web,
)

__all__ = ["chromium", "web"]
pytestmark = pytest.mark.usefixtures("city")


@pytest.mark.parametrize("width", [390, 1440])
def test_several_files_go_up_and_each_is_told_of(chromium, web, width):
    bring_in("water", a_record("W1", bill_no="B1"))
    page = operator(chromium, web, viewport={"width": width, "height": 900}).new_page()
    complaints: list[str] = []
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.goto(f"{web}/company/papers")
    assert is_no_wider_than_the_window(page)

    page.select_option("#month", f"{MONTH:%Y-%m}")
    page.set_input_files(
        "#files",
        [
            {"name": name, "mimeType": "image/png", "buffer": PNG}
            for name in ("B1.png", "a-bill-we-never-heard-of-2026-10-000000000001.png")
        ],
    )
    page.click("form[data-upload] .button")

    page.wait_for_url(f"{web}/company/papers/*")
    words = page.inner_text("main")
    assert "Kept" in words
    assert "We hold no such bill of yours in this month." in words
    assert is_no_wider_than_the_window(page)
    with page.expect_download() as taken:
        page.click("text=Rejects as CSV")
    assert taken.value.suggested_filename.endswith("-rejects.csv")
    page.goto(f"{web}/company/papers?bill_no=B1")
    assert page.locator("main tbody tr").count() == 1
    assert complaints == []
