"""A real browser for the flows. Started and stopped per test: while Playwright runs, its event loop keeps
Django's ORM out of this thread, so whatever a test needs in the database is made before."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
QUIET = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    " --disable-sync --no-first-run"
)


@dataclass
class Window:
    """A page of the browser and what went wrong in it."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note console errors (content security policy among them), script errors and foreign requests."""
        self.page.on("console", lambda said: self._note(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("request", lambda request: self._check_origin(request.url))

    def open(self, path: str) -> None:
        """Go to an address of the site."""
        self.page.goto(self.origin + path)

    def _check_origin(self, url: str) -> None:
        if urlsplit(url).scheme.startswith("http") and not url.startswith(self.origin):
            self._note(f"a request left the origin: {url}")

    def _note(self, complaint: str) -> None:
        self.complaints.append(f"{self.page.url}: {complaint}")


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """Headless Chromium. Without one the test is skipped, and fails where REQUIRE_ALL=1 (.ci/run)."""
    if not CHROMIUM.exists():
        missing = (
            f"There is no Chromium at {CHROMIUM}: `apt-get install chromium`, or set CHROMIUM to its path."
        )
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture
def open_window(chromium: Browser) -> Callable[..., Window]:
    """Open a window on a site: `open_window(url, width=390, theme="dark", language="ko")`."""

    def opened(origin: str, width: int = 1280, theme: str = "light", language: str = "en") -> Window:
        context = chromium.new_context(
            viewport=ViewportSize(width=width, height=900),
            locale=language,
            color_scheme="dark" if theme == "dark" else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(15_000)
        window = Window(context.new_page(), origin)
        window.watch()
        return window

    return opened
