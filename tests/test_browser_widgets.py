"""Explorer, reviewer and curator as a person uses them: a real JupyterLab in a real browser, on a small run."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import LONELY, LONELY_FILE, ODD
from test_report import CONTRAST

from fishlib import run

pytestmark = pytest.mark.browser
TOKEN = "only-on-this-machine"
FILTERS = ("species", "named as", "error", "tag", "variant", "masks of", "first")  # of the explorer, left to right
LAB = [
    "--no-browser", "--allow-root", "--LabApp.news_url=None", "--ServerApp.ip=127.0.0.1",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly",
    f"--IdentityProvider.token={TOKEN}",
]  # fmt: skip


@pytest.fixture(scope="module")
def copied(done, tmp_path_factory):
    """(run folder, folder of notebooks that open it): copies, for here answers are given."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(done[0], root / "run")
    (root / "notebooks").mkdir()
    for path in run.notebooks():
        notebook = nbformat.read(path, as_version=4)
        [cell] = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
        given = {"out": str(root / "run"), "run_missing": False, **done[1]}
        cell.source = "\n".join(f"{name} = {value!r}" for name, value in given.items())
        nbformat.write(notebook, root / "notebooks" / path.name)
    return root / "run", root / "notebooks"


@pytest.fixture(scope="module")
def lab(copied, tmp_path_factory):
    """Address of a JupyterLab on this machine that asks no other; off again at the end."""
    home = tmp_path_factory.mktemp("home")
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))  # every cell is drawn
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data"}
    places |= {"JUPYTER_RUNTIME_DIR": home / "runtime", "JUPYTERLAB_SETTINGS_DIR": home / "settings"}
    places |= {"JUPYTERLAB_WORKSPACES_DIR": home / "spaces", "IPYTHONDIR": home / "ipython"}
    environment = os.environ | {k: str(v) for k, v in places.items()}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-m", "jupyterlab", *LAB, f"--ServerApp.port={port}", f"--notebook-dir={copied[1]}"]
    with (home / "lab.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not answers(f"{address}/api/status?token={TOKEN}"):
            assert process.poll() is None and time.monotonic() < deadline, (home / "lab.log").read_text()
            time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def page(browser, lab):
    """A page on the lab; a dialog that a name opened would fail the test."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(120_000)
    opened.dialogs = []

    def answer(dialog):
        if dialog.type == "beforeunload":  # the lab asks whether to leave an unsaved notebook
            dialog.accept()
        else:
            opened.dialogs.append(dialog.message)
            dialog.dismiss()

    opened.on("dialog", answer)
    yield opened
    assert opened.dialogs == []
    opened.close()


def open_notebook(page, lab, name: str, wait_for: str) -> None:
    page.goto(f"{lab}/lab/tree/{name}?token={TOKEN}&reset")
    page.locator(".jp-Notebook").wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    error = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    page.locator(wait_for).or_(error).first.wait_for(timeout=300_000)
    assert error.count() == 0, error.first.inner_text()


def clicked(page, what: str, button, seen, wanted) -> None:
    """Click, wait until seen() says `wanted`, and tell how long that took: a measurement, nothing is required."""
    start = time.perf_counter()
    button.click()
    while not wanted(seen()):
        assert time.perf_counter() - start < 60, f"{what}: {seen()!r}"
        page.wait_for_timeout(10)
    print(f"latency {what}: {1000 * (time.perf_counter() - start):.0f} ms")


def test_explorer(page, lab, copied, artifacts):
    open_notebook(page, lab, "03_inference_only.ipynb", ".fw-matrix .fw-cell")
    explorer = page.locator(".fw").last
    explorer.scroll_into_view_if_needed()
    assert explorer.locator(".fw-axis1").get_by_text(ODD).count() == 1  # text, no markup
    photos, cell = explorer.locator(".fw-photo"), explorer.locator(".fw-cell").first
    count = explorer.locator(".fw-photos .widget-html-content").first
    wanted = int(cell.inner_text())
    clicked(page, "a cell of the matrix", cell, photos.count, lambda n: n == wanted)
    until(page, lambda: count.inner_text().split(",")[0], f"{wanted} photos")
    until(page, lambda: "fw-on" in cell.get_attribute("class"), True)
    background = "e => getComputedStyle(e, '::before').backgroundImage"
    assert photos.first.evaluate(background).startswith('url("data:image/jpeg')
    explorer.screenshot(path=artifacts / "explorer_cell.png")
    detail = explorer.locator(".fw-single .fl")
    clicked(page, "a photo", photos.first, detail.count, lambda n: n == 1)
    detail.get_by_text("detected box").wait_for()  # in the page first, in view a moment later
    assert detail.locator(".seen figure").count() == len(pd.read_csv(copied[0] / "predictions.csv").variant.unique())
    explorer.screenshot(path=artifacts / "explorer_photo.png")
    before = detail.locator(".note").first.inner_text()
    page.keyboard.press("ArrowRight")  # to the next photo
    until(page, lambda: detail.locator(".note").first.inner_text() != before or wanted == 1, True)
    page.keyboard.press("Escape")
    photos.first.wait_for()
    page.keyboard.press("ArrowRight")  # the first photo has the focus
    until(page, lambda: page.evaluate("document.activeElement.classList.contains('fw-photo')"), True)
    page.keyboard.press("Enter")
    detail.get_by_text("detected box").wait_for()
    clicked(page, "back", explorer.locator(".fw-back"), photos.first.is_visible, bool)
    clicked(page, "all photos", explorer.locator(".fw-reset"), photos.count, lambda n: n > wanted)
    photos.first.focus()
    for key, place in (("ArrowRight", 1), ("x", 1), ("ArrowDown", None), ("ArrowUp", 1), ("ArrowLeft", 0), ("x", 0)):
        page.keyboard.press(key)
        if place is not None:
            until(page, lambda: page.evaluate("document.activeElement.className.match(/fw-slot(\\d+)/)[1]"), str(place))
    chosen = explorer.locator(".fw-chosen")
    chosen.get_by_text("2 chosen").wait_for()
    tag = chosen.get_by_placeholder("tag, such as shadow")
    tag.fill("shadow")  # x and other letters are text here
    chosen.locator(".fw-tag").click()
    until(page, lambda: (copied[0] / "tags.csv").is_file(), True)
    photos.first.get_by_text("tags: shadow").wait_for()
    assert set(pd.read_csv(copied[0] / "tags.csv").tag) == {"shadow"}
    chosen.locator(".fw-save").click()
    chosen.get_by_text("2 photos saved in run/selections/selection").wait_for()
    explorer.screenshot(path=artifacts / "explorer_chosen.png")
    names = explorer.locator(".fw-axis1")
    clicked(page, "English", explorer.get_by_text("English"), names.inner_text, lambda text: "yellowfin" in text)
    assert photos.get_by_text(LONELY).count() == 1  # a species called like markup is text
    explorer.get_by_title(f"{LONELY}/{LONELY_FILE}", exact=True).click()
    detail.get_by_text(LONELY_FILE).wait_for()
    explorer.screenshot(path=artifacts / "explorer_names.png")

    explorer.locator(".fw-back").click()
    sort = explorer.locator(".fw-filters select").nth(FILTERS.index("first"))
    sort.select_option(label="check first")
    sure = pd.read_csv(copied[0] / "beyond" / "sure.csv", dtype={"photo_id": str}).query("variant == 'original'")
    least_sure = sure.sort_values(["confidence", "photo_id"])["photo_id"].iloc[0]
    until(page, lambda: photos.first.get_attribute("title"), least_sure)
    assert "to check by eye" in photos.first.inner_text()
    explorer.screenshot(path=artifacts / "explorer_check_first.png")


def test_three_clicks_lead_from_the_lab_to_the_first_photo(page, lab, artifacts):
    """As docs/looking.md counts them; Lab itself scrolls to the last cell, the explorer's."""
    page.goto(f"{lab}/lab/tree/03_inference_only.ipynb?token={TOKEN}&reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    photo = page.locator(".fw-photo").first
    seen = "button => button.getBoundingClientRect().bottom < innerHeight"
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    photo.wait_for(timeout=300_000)
    until(page, lambda: photo.evaluate(seen), True)
    page.screenshot(path=artifacts / "explorer_first.png")
    photo.click()
    page.locator(".fw-single .fl").get_by_text("detected box").wait_for()


def test_a_click_or_a_box_on_the_map_gives_the_grid(page, lab, copied, artifacts):
    open_notebook(page, lab, "03_inference_only.ipynb", ".fw-matrix .fw-cell")
    explorer = page.locator(".fw").last
    explorer.get_by_role("button", name="map of the photos").click()
    svg, photos = explorer.locator("svg.points"), explorer.locator(".fw-photo")
    svg.scroll_into_view_if_needed()
    points = svg.locator("path")
    assert points.count() > 10
    point = frame_of(page, points.first)
    title = points.first.locator("title").text_content().splitlines()[0]
    page.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    until(page, photos.count, 1)
    assert photos.first.get_attribute("title") == title
    faded = "paths => paths.filter((path) => getComputedStyle(path).opacity < 0.5).length"
    until(page, lambda: points.evaluate_all(faded), points.count() - 1)
    frame = frame_of(page, svg)
    page.mouse.move(frame["x"] + 3, frame["y"] + 3)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] - 3, frame["y"] + frame["height"] - 3, steps=4)
    page.mouse.up()
    until(page, lambda: (photos.count(), points.evaluate_all(faded)), (points.count(), 0))
    explorer.get_by_role("button", name="by error").click()
    explorer.get_by_text("not asked (").wait_for()
    explorer.screenshot(path=artifacts / "explorer_map.png")


def test_the_explorer_fits_small_and_large_screens_in_both_themes(page, lab, artifacts):
    open_notebook(page, lab, "03_inference_only.ipynb", ".fw-matrix .fw-cell")
    explorer = page.locator(".fw").last
    explorer.locator(".fw-reset").click()
    for theme in ("Dark", "Light"):  # the next test finds Lab as it was
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        page.get_by_text("Theme", exact=True).hover()
        page.get_by_text(f"JupyterLab {theme}", exact=True).click()
        until(page, lambda: page.evaluate("document.body.dataset.jpThemeLight"), str(theme == "Light").lower())
        for width, height in ((1100, 700), (1920, 1200)):
            page.set_viewport_size({"width": width, "height": height})
            for overview in ("confusion matrix", "map of the photos"):
                explorer.get_by_role("button", name=overview).click()
                shown = ".fw-matrix" if overview == "confusion matrix" else "svg.points"
                explorer.locator(shown).wait_for()
                explorer.evaluate("element => element.scrollIntoView()")
                page.screenshot(path=artifacts / f"explorer_{theme}_{width}_{shown.split('-')[-1]}.png".lower())
                right, inside = explorer.evaluate(
                    "e => [e.getBoundingClientRect().right, e.scrollWidth <= e.clientWidth]"
                )
                assert right <= width and inside, (theme, width, overview)
                assert page.evaluate(CONTRAST.replace('"body *"', '".fw *"')) == [], (theme, width, overview)
    page.set_viewport_size({"width": 1400, "height": 1000})


def verdicts(out: Path) -> list:
    path = out / "reviews.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False).verdict.tolist() if path.is_file() else []


def until(page, seen, wanted) -> None:
    deadline = time.monotonic() + 60
    while seen() != wanted:
        assert time.monotonic() < deadline, (seen(), wanted)
        page.wait_for_timeout(50)


def frame_of(page, found) -> dict:
    """Where a part of the page is drawn; an answer draws the next photo anew, and between the two there is none."""
    until(page, lambda: found.bounding_box() is not None and found.is_visible(), True)
    return found.bounding_box() or frame_of(page, found)


def test_reviewer_by_keyboard_survives_a_reload(page, lab, copied, artifacts):
    """Keys with the focus in five places of the widget, text in its name field, another reviewer, a reload."""
    out, _ = copied
    page.set_viewport_size({"width": 1100, "height": 700})
    open_notebook(page, lab, "02_background_removal.ipynb", ".fw-judge[data-keys]")
    cells = page.locator(".jp-Cell").count()
    reviewer = page.locator(".fw-judge").last
    head, good = reviewer.locator(".fw-head"), reviewer.locator(".fw-good")
    good.scroll_into_view_if_needed()
    reviewer.locator(".fl img").first.click()  # the frame itself has the focus
    start = time.perf_counter()
    page.keyboard.press("g")
    until(page, lambda: verdicts(out), ["good"])
    print(f"latency verdict on disk: {1000 * (time.perf_counter() - start):.0f} ms")
    good.focus()
    page.keyboard.press("b")
    until(page, lambda: len(verdicts(out)), 2)
    reviewer.get_by_label("zoom on the outline").focus()
    page.keyboard.press("u")
    until(page, lambda: len(verdicts(out)), 3)
    reviewer.locator("select").focus()  # letters choose there, and are no answers
    page.keyboard.press("g")
    reviewer.locator(".fw-unsure").click()  # a click, then keys
    until(page, lambda: len(verdicts(out)), 4)
    page.keyboard.press("z")
    until(page, lambda: verdicts(out), ["good", "bad", "unsure"])
    name = reviewer.locator("input[type=text]")
    name.fill("bugg")  # a text, typed or pasted, answers nothing
    name.press("Home")
    name.press("b")
    assert verdicts(out) == ["good", "bad", "unsure"]
    name.press("Enter")  # and the next key is the other reviewer's answer
    head.get_by_text("0 of").wait_for()
    page.keyboard.type("gbgb", delay=0)  # faster than the kernel answers: none is lost, none counts twice
    until(page, lambda: verdicts(out), ["good", "bad", "unsure", "good", "bad", "good", "bad"])
    assert page.locator(".jp-Cell").count() == cells  # b made no cell
    box = frame_of(page, reviewer.locator(".fl .large"))
    top = frame_of(page, head)["y"]
    assert box["y"] + box["height"] - top < 620 and box["x"] + box["width"] <= 1100  # under Lab's own bars
    page.screenshot(path=artifacts / "reviewer_1100.png")
    page.reload()
    open_notebook(page, lab, "02_background_removal.ipynb", ".fw-judge[data-keys]")
    page.locator(".fw-judge .fw-head").get_by_text("3 of").first.wait_for()
    page.set_viewport_size({"width": 1400, "height": 1000})


def test_curator_answers_reach_the_manifest(page, lab, copied, artifacts):
    out, _ = copied
    open_notebook(page, lab, "01_data_curation.ipynb", ".fw-judge[data-keys]")
    curator = page.locator(".fw").last
    shown = curator.locator(".fl figcaption")
    shown.wait_for()
    photo = shown.inner_text()
    curator.locator(".fw-no").click()
    until(page, lambda: (out / "curation.csv").is_file(), True)
    page.wait_for_timeout(300)
    curator.screenshot(path=artifacts / "curator.png")
    decided = pd.read_csv(out / "curation.csv", dtype=str, keep_default_na=False)
    assert decided[decided.one_whole_fish == "no"].photo_id.tolist() == [photo]
    open_notebook(page, lab, "01_data_curation.ipynb", ".fw-judge[data-keys]")
    until(page, lambda: "curation: no" in (out / "manifest.csv").read_text(encoding="utf-8"), True)
