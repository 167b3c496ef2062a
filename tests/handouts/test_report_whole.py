"""The whole report, made once: all entries pass, and the page stands up in a browser."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from descentlab.handouts import command_line
from descentlab.handouts.catalogue import CATALOGUE, IDS

pytestmark = pytest.mark.slow

RECORDED = json.loads(Path(__file__).with_name("recorded_values.json").read_text(encoding="utf-8"))
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

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


@pytest.fixture(scope="module")
def report(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("report")
    status = command_line.main(["--out", str(folder)])
    return status, folder


@pytest.fixture(scope="module")
def rows(report):
    return json.loads((report[1] / "report.json").read_text(encoding="utf-8"))


def test_all_entries_pass(report, rows):
    wrong = [(row["id"], row["error"], row["computed"]) for row in rows if row["status"] != "pass"]
    assert wrong == []
    assert report[0] == 0
    assert [row["id"] for row in rows] == list(IDS)


def test_every_row_names_its_config_and_commands(rows):
    for row in rows:
        assert row["config"] == CATALOGUE[row["id"]].config
        assert row["commands"]
        used = {command.split("--config ")[1].split()[0] for command in row["commands"]}
        assert row["config"].removesuffix(".yaml") in used, row["id"]


def test_the_recorded_values_are_those_of_a_run(rows):
    """What the other tests judge again has the same names, and texts, as what comes out here."""
    for row in rows:
        assert row["computed"].keys() == RECORDED[row["id"]].keys()
        for name, value in row["computed"].items():
            if isinstance(value, str):
                assert value == RECORDED[row["id"]][name]


def test_graphs_are_pictures(report, rows):
    pictures = {row["id"]: row["picture"] for row in rows}
    for name in ("TP-1.3", "DI-3", "DI-4", "DI-9", "DI-11", "PS-1.2", "PS-2.2", "PS-2.5"):
        assert (report[1] / pictures[name]).read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def address(report):
    handler = functools.partial(_Quiet, directory=str(report[1]))
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


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(report, rows, address, width, tmp_path):
    seen, console = seen_in_a_browser(address, report[1], width, tmp_path)
    assert console == []
    assert seen["inner"] == width
    assert seen["scroll"] <= width
    assert seen["sections"] == len(IDS)
    assert len(seen["pictures"]) == sum(row["picture"] is not None for row in rows)
    for natural, shown in seen["pictures"]:
        assert natural > 0
        assert 0 < shown <= width


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH")
def test_the_probe_sees_a_broken_page(tmp_path, tmp_path_factory, address, report):
    """The negative control: a wide element, a picture that is none, and a script that fails."""
    page = report[1] / "index.html"
    whole = page.read_text(encoding="utf-8")
    wide = '<div style="width: 3000px">wide</div><img src="data:image/png;base64,AAAA">'
    try:
        page.write_text(whole.replace("<h1>", f"{wide}<script>nowhere()</script><h1>"), "utf-8")
        seen, console = seen_in_a_browser(address, report[1], 390, tmp_path)
    finally:
        page.write_text(whole, encoding="utf-8")
    assert seen["scroll"] > 390
    assert [0, 0] in [[natural, 0] for natural, _ in seen["pictures"]]
    assert any("nowhere" in line for line in console)
