"""Chromium, driven by selenium, with what the tests ask of a page."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from selenium.common import TimeoutException, WebDriverException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.servers.install import install, npm_package, which

T = TypeVar("T")

SCREEN = (1280, 800)
PHONE = (390, 844)

AXE_CORE = "4.14.1"
"""The version of https://github.com/dequelabs/axe-core, which checks a page's accessibility."""

AXE_OPTIONS = {
    # The levels A and AA, and what the authors of axe-core recommend beyond them.
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "preload": False,  # it would load the style sheets again, which the policy forbids
}
# Django's own parts: links that differ by their colour alone, and that are 20 pixels high.
NOT_OURS = [[".breadcrumbs"], ["#changelist-filter"]]

LOADED = """
return !window.isOld && document.readyState === "complete" && document.body.clientHeight > 0;
"""

STILL = """
const [done] = arguments;
Promise.allSettled(document.getAnimations().map((one) => one.finished)).then(() => done());
"""

# The width and the height of what the screen shows of the admin.
CONTENT = """
const parts = [...document.querySelectorAll("#content *, #nav-sidebar .module")];
const bottom = Math.max(...parts.map((part) => part.getBoundingClientRect().bottom));
return [innerWidth, Math.min(innerHeight, Math.ceil(bottom) + 20)];
"""

# The element that has the focus, and whether that can be seen: without it, it must look different.
FOCUS = """
const element = document.activeElement, style = getComputedStyle(element);
const look = () => ["outlineStyle", "outlineWidth", "outlineColor", "boxShadow", "borderTopColor",
    "backgroundColor", "textDecorationLine", "color"].map((name) => style[name]).join(" ");
const focused = look();
element.blur();
const blurred = look();
element.focus({focusVisible: true});
return [element, focused !== blurred];
"""


class Driver(ChromeService):
    """A chromedriver that ends, with Chromium, when the tests end, even if they are killed."""

    def command_line_args(self) -> list[str]:
        return ["--pdeathsig", "TERM", str(which("chromedriver")), *super().command_line_args()]


class Browser:
    """One browser for all tests."""

    def __init__(self, downloads: Path) -> None:
        options = ChromeOptions()
        options.binary_location = str(install("chromium"))
        options.add_argument("--headless=new")
        options.add_argument("--disable-dev-shm-usage")  # containers have little of it
        options.add_argument("--disable-background-networking")
        options.add_argument("--hide-scrollbars")  # they are part of no page
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # https://crbug.com/638180
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        self.downloads = downloads
        self.driver = Chrome(options, Driver(str(which("setpriv"))))
        self.axe = (npm_package("axe-core", AXE_CORE) / "axe.min.js").read_text()
        self.site = ""

    def reset(self, site: str) -> None:
        """Log out, and reset the settings of the last test."""
        self.site = site
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.screen()
        self.messages()

    def log_in(self, session: str) -> None:
        """Go on with a session of Django's."""
        cookie = {"name": "sessionid", "value": session, "url": self.site}
        self.driver.execute_cdp_cmd("Network.setCookie", cookie)

    # What a person does.

    def open(self, path: str) -> None:
        with self.new_page():
            self.driver.get(self.site + path)

    @contextlib.contextmanager
    def new_page(self) -> Iterator[None]:
        """Wait until what is done in the block has brought another page."""
        self.driver.execute_script("window.isOld = true")
        yield
        self.wait(lambda driver: driver.execute_script(LOADED))

    def link(self, text: str) -> WebElement:
        """The link, or the button, with these words on it."""
        link = f"//a[normalize-space()='{text}']"
        button = f"//button[normalize-space()='{text}'] | //input[@type='submit'][@value='{text}']"
        return self.one(f"{link} | {button}", By.XPATH)

    def follow(self, text: str) -> None:
        """Click a link, or a button."""
        with self.new_page():
            self.link(text).click()

    def download(self, text: str) -> str:
        """Click a link to a file, and return what is in the file."""
        self.link(text).click()
        self.wait(lambda driver: list(self.downloads.glob("[!.]*.csv")))
        (file,) = self.downloads.glob("*.csv")
        content = file.read_text(encoding="utf-8-sig")
        file.unlink()
        return content

    def fill(self, **values: object) -> None:
        """Write into the fields of the form, as far as it has them."""
        for name, value in values.items():
            field = self.one(f"[name='{name}']")
            field.clear()
            field.send_keys(str(value))

    def press(self, keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        ActionChains(self.driver).send_keys(keys).perform()

    def enter(self) -> None:
        """Press the Enter key, which brings another page."""
        with self.new_page():
            self.press(Keys.ENTER)

    def tab_to(self, element: WebElement) -> None:
        """Reach an element by the Tab key alone; each stop on the way can be seen."""
        for _ in range(100):
            self.press(Keys.TAB)
            focused, seen = self.focus()
            assert seen, focused.get_attribute("outerHTML")
            if focused == element:
                return
        raise AssertionError(f"Tab never reaches {element.get_attribute('outerHTML')}")

    def focus(self) -> tuple[WebElement, bool]:
        """Return what has the focus, and whether that can be seen."""
        element, seen = self.driver.execute_script(FOCUS)
        return element, seen

    def screen(self, size: tuple[int, int] = SCREEN, scheme: str = "light") -> None:
        """Look at the page on a screen of this size, with the light or the dark scheme."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.execute_async_script(STILL)  # colours change gradually

    # What a person sees.

    @property
    def text(self) -> str:
        return self.one("body").text

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.site)

    def one(self, selector: str, by: str = By.CSS_SELECTOR) -> WebElement:
        """The only element of this kind that can be seen, as soon as the page is drawn."""

        def seen(driver: Chrome) -> list[WebElement]:
            found = [one for one in driver.find_elements(by, selector) if one.is_displayed()]
            return found if len(found) == 1 else []

        try:
            return self.wait(seen)[0]
        except TimeoutException:
            raise AssertionError(
                f"Not one {selector} on {self.path}: {self.driver.page_source}"
            ) from None

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def messages(self) -> list[str]:
        """Return the console's messages since the last call, such as CSP violations and errors."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log]

    def screenshot(self) -> bytes:
        """Take a picture of the page, without the empty space at its end."""
        width, height = self.driver.execute_script(CONTENT)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})
        return base64.b64decode(taken["data"])

    def overflow(self) -> int:
        """How many pixels the page is wider than the screen."""
        page = "document.documentElement"
        return int(self.driver.execute_script(f"return {page}.scrollWidth - {page}.clientWidth"))

    def violations(self) -> list[str]:
        """Return the violations that axe-core finds, with the elements of each."""
        # The driver runs it beside the page's scripts, so the page's CSP stays in force.
        if not self.driver.execute_script("return window.axe !== undefined"):
            self.driver.execute_script(self.axe)
        result: dict[str, Any] = self.driver.execute_async_script(
            "axe.run({exclude: arguments[0]}, arguments[1]).then(arguments[2])",
            NOT_OURS,
            AXE_OPTIONS,
        )
        return [
            f"{rule['id']}: {rule['help']}: {node['html']} ({node['failureSummary']})"
            for rule in result["violations"]
            for node in rule["nodes"]
        ]

    def wait(self, until: Callable[[Chrome], T]) -> T:
        # While one page replaces another, the driver may fail in many ways.
        ignored = [WebDriverException]
        return WebDriverWait(self.driver, 30, 0.05, ignored).until(until)

    def quit(self) -> None:
        self.driver.quit()
