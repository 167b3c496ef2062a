"""A page in a browser: what it shows at a width, and what the browser complains of."""

import functools
import http.server
import json
import subprocess
import threading
from contextlib import contextmanager

from webdriver import CHROMIUM

#: opens the page in a frame of a given width, and writes down what it sees
PROBE = """<!doctype html><html><body><pre id="seen"></pre><script>
const frame = document.createElement("iframe");
frame.style.cssText = "width: %dpx; height: 2000px; border: 0";
frame.onload = () => {
  const page = frame.contentDocument;
  const pictures = [...page.images];
  document.getElementById("seen").textContent = JSON.stringify({
    inner: frame.contentWindow.innerWidth,
    scroll: page.documentElement.scrollWidth,
    pictures: pictures.map(picture => [picture.naturalWidth, picture.clientWidth]),
    sections: page.querySelectorAll("section").length,
  });
};
frame.src = "index.html";
document.body.append(frame);
</script></body></html>"""


@contextmanager
def served(folder):
    """Serve a folder, inside, and give its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def seen_in_a_browser(address, folder, width, scratch):
    """Return what the probe saw at a width, and what the browser's console said."""
    (folder / "probe.html").write_text(PROBE % width, encoding="utf-8")
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    words += [f"--user-data-dir={scratch}", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run(
        [*words, f"{address}/probe.html"], capture_output=True, text=True, timeout=120, check=True
    )
    seen = json.loads(done.stdout.split('<pre id="seen">')[1].split("</pre>")[0])
    return seen, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
