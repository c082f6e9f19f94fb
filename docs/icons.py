"""Draw the icons of the installed site from ``web/static/favicon.svg``: ``python docs/icons.py``.

Chromium draws them; what is committed is what it drew.
"""

import re
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

STATIC = Path(__file__).parents[1] / "web" / "static"
_BACKGROUND = re.compile(r"<rect[^>]*/>")
_OPEN = re.compile(r"<svg[^>]*>")
_OUTLINE = re.compile(r'<path[^>]* d="([^"]*)"')


def main() -> None:
    """Write every icon anew."""
    logo = (STATIC / "favicon.svg").read_text()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page()
        draw(page, logo, "icon-192.png", 192)
        draw(page, logo, "icon-512.png", 512)
        draw(page, maskable(logo), "icon-maskable-512.png", 512)
        draw(page, badge(logo), "badge-96.png", 96)
        browser.close()


def draw(page: Page, svg: str, name: str, size: int) -> None:
    page.set_viewport_size({"width": size, "height": size})
    page.set_content(f"<style>*{{margin:0}}svg{{display:block;width:{size}px}}</style>{svg}")
    page.screenshot(path=str(STATIC / name), omit_background=True)


def maskable(svg: str) -> str:
    """Fill to the edges and draw the sign within the circle no mask cuts: 80 % of the width."""
    full = svg.replace('rx="8" ', "")
    return _around(full, "translate(2.56 2.56) scale(.84)")


def badge(svg: str) -> str:
    """Leave the sign alone, in one colour: a phone's status bar shows only what is opaque."""
    opened = _OPEN.match(svg)
    assert opened is not None
    bill, city = _OUTLINE.findall(svg)
    return f'{opened[0]}<path fill="#fff" fill-rule="evenodd" d="{bill}{city}"/></svg>'


def _around(svg: str, transform: str) -> str:
    """Move everything but the background."""
    back = _BACKGROUND.search(svg)
    assert back is not None
    start, end = svg[: back.end()], svg[back.end() :].removesuffix("</svg>")
    return f'{start}<g transform="{transform}">{end}</g></svg>'


if __name__ == "__main__":
    main()
