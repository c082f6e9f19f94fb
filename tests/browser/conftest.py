"""A real browser on the application behind a real server."""

from tests.web.conftest import app, far_side, kept_city
from tests.web.test_company_in_a_browser import chromium, web

__all__ = ["app", "chromium", "far_side", "kept_city", "web"]
