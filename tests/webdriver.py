"""A page in headless Chromium that stays open: driven through chromedriver by WebDriver's JSON."""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
CHROMEDRIVER = shutil.which("chromedriver")
MISSING = CHROMIUM is None or CHROMEDRIVER is None

#: what is shown of a page, shadow trees included: the elements that a selector finds, each as
#: what an expression of `e` makes of it
SEEN = """const [selector] = arguments, found = [];
(function walk(node) {
  if (node.nodeType === 1) {
    if (node.matches(selector) && node.checkVisibility() && node.getClientRects().length)
      found.push((e => %s)(node));
    if (node.shadowRoot) walk(node.shadowRoot);
  }
  node.childNodes.forEach(walk);
})(document.body);
return found;"""


class Browser:
    """A window of headless Chromium, ended by `close`.

    Args:
        width: of the window, in pixels.
        height: of the window.
    """

    def __init__(self, width=1280, height=900):
        words = [CHROMEDRIVER, "--port=0"]
        self._driver = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._session = ""
        try:
            said = iter(self._driver.stdout.readline, "")
            port = next(line for line in said if "started successfully on port" in line)
            self._url = f"http://127.0.0.1:{int(port.split()[-1].rstrip('.'))}"
            flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            options = {"binary": CHROMIUM, "args": [*flags, f"--window-size={width},{height}"]}
            asked = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            self._session = f"/session/{self._ask('POST', '/session', asked)['sessionId']}"
        except BaseException:
            self.close()
            raise

    def _ask(self, method, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self._url}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        """Load a page, also where only what is behind its # is another."""
        for each in ("about:blank", url):
            self._ask("POST", f"{self._session}/url", {"url": each})

    def seen(self, selector, expression="e.innerText.trim()"):
        """Return what an expression makes of each visible element `e` that a selector finds."""
        script = {"script": SEEN % expression, "args": [selector]}
        return self._ask("POST", f"{self._session}/execute/sync", script)

    def wait(self, expected, selector, expression="e.innerText.trim()", seconds=30):
        """Return what is seen, as soon as `expected` holds of it, or else at the end."""
        end = time.monotonic() + seconds
        while True:
            found = self.seen(selector, expression)
            if expected(found) or time.monotonic() > end:
                return found
            time.sleep(0.2)

    def picture(self, path):
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self._session}/screenshot")))

    def close(self):
        """End the browser and its driver."""
        with suppress(urllib.error.URLError):
            if self._session:
                self._ask("DELETE", self._session)
        self._driver.terminate()
        self._driver.communicate(timeout=30)
