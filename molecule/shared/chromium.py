"""The browser that tests on local hosts look through."""

from playwright.sync_api import Browser, Playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def launch(playwright: Playwright) -> Browser:
    """Return Debian's Chromium, which asks nobody but the page it is sent to."""
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
