"""The report of a small run: what it says, how it takes damage, and what a real browser makes of it."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import LONELY, LONELY_FILE, SPECIES
from hypothesis import given
from hypothesis import strategies as st

from fishlib import made_with
from fishlib.errors import UserError
from fishlib.show import report
from fishlib.show.report import reading, species_pages


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.path, self.tags, self.text = path, [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data + " "

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def copy(done, tmp_path):
    """A copy of the finished run that a test may spoil; without the cache, which no report needs."""
    return shutil.copytree(done[0], tmp_path / "run", ignore=shutil.ignore_patterns("cache", "report*"))


def pages(out):
    return [Page(path) for path in sorted((out / "report").glob("*.html"))]


def species_page(out, name):
    return Page(out / "report" / species_pages.page_file(name))


def test_there_is_a_page_a_notebook_and_a_species_and_nothing_comes_from_elsewhere(done):
    out, _ = done
    found = {page.path.name for page in pages(out)}
    notebooks = {f"{path.stem}.html" for path in (out / "notebooks").glob("*.ipynb")}
    assert found == {"index.html", *notebooks, *map(species_pages.page_file, [*SPECIES, LONELY])}
    assert len(found) == 10
    for page in pages(out):
        assert not {"iframe", "link", "object", "embed", "form"} & {tag for tag, _ in page.tags}
        assert len(page.all("script")) == 1 and "src" not in page.all("script")[0]
        for _, attributes in page.tags:
            source = attributes.get("src") or attributes.get("href") or "#"
            if not source.startswith(("data:image/", "#")):
                assert (page.path.parent / unquote(source).split("#")[0]).is_file(), source
    assert (out / "report.zip").stat().st_size > 10_000


class Strict(HTMLParser):
    """Fails where a browser would have to mend: an end without a start, a start without an end, an id twice."""

    VOID = frozenset({"br", "col", "hr", "img", "input", "meta"})

    def __init__(self, path):
        super().__init__()
        self.path, self.open, self.ids = path, [], set()
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, (path, self.open)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), (self.path, tag, attributes)
        assert given.get("id") not in self.ids, (self.path, given)
        self.ids |= {given["id"]} if "id" in given else set()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass  # of SVG alone

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (self.path, self.getpos(), tag)


def test_no_page_needs_mending(done):
    for path in sorted((done[0] / "report").glob("*.html")):
        Strict(path)


def test_the_first_page_answers_before_it_shows_tables(done):
    """Verdict, one picture of every input, how sure, the worst species and why: in this order, tables after them."""
    index = Page(done[0] / "report" / "index.html")
    text = " ".join(index.text.split())
    headings = ["Does removing the background", "How sure is that?", "Which species is named worst, and why?"]
    places = [text.index(heading) for heading in [*headings, "Tables 1 to 4"]]
    assert places == sorted(places)
    [picture] = [svg for svg in index.all("svg") if svg.get("role") == "img"]
    assert re.search(r"Original \d+\.\d % \(\d+ to \d+\)", picture["aria-label"]) and "paper" in picture["aria-label"]
    assert "is to blame" in text and "What to do with 2 photos of each species?" in text


def test_the_first_page_tells_the_fair_question_from_the_other(done):
    """Without a classifier heads learn: from what they are asked about, and from originals alone; each is called so."""
    text = " ".join(Page(done[0] / "report" / "index.html").text.split())
    fair = "shown as they are asked about: the fair question"
    assert fair in text and "as originals: Crop and Mask were never seen" in text
    assert "a linear head on" in text.lower() and "trained on the original photos of half of each species" in text


def test_names_are_marked_and_switch_without_a_script(done):
    for page in pages(done[0]):
        assert [given["id"] for given in page.all("input")] == ["names-ja", "names-scientific", "names-en"]
    spans = Page(done[0] / "report" / "index.html").all("span")
    named = {(given.get("class"), given.get("lang")) for given in spans if given.get("class", "").startswith("n ")}
    assert {("n n-ja", "ja"), ("n n-scientific", "la"), ("n n-en", "en")} <= named


def test_code_is_folded_and_captions_are_said_once(done):
    notebook = Page(done[0] / "report" / "03_inference_only.html")
    assert len([given for given in notebook.all("details") if given.get("class") == "code"]) > 5
    text = (done[0] / "report" / "index.html").read_text("utf-8")
    assert text.count('class="once"') == 4 and ".said-once .once { display: none; }" in text


def test_photos_stand_as_a_person_counts(copy):
    manifest = pd.read_csv(copy / "manifest.csv", dtype=str, keep_default_na=False)
    rows = manifest[(manifest.species == "マサバ") & (manifest.status == "ok")].index[:3]
    for row, name in zip(rows, ("IMG 10.png", "IMG 2.png", "IMG 1.png"), strict=True):
        manifest.loc[row, "photo_id"] = f"マサバ/{name}"
    manifest.to_csv(copy / "manifest.csv", index=False)
    report.build(copy)
    text = species_page(copy, "マサバ").text
    assert text.index("IMG 1.png") < text.index("IMG 2.png") < text.index("IMG 10.png")


def test_every_picture_says_what_it_shows(done):
    for page in pages(done[0]):
        for image in page.all("img"):
            assert len(image["alt"]) > 5 and "No description" not in image["alt"], image["alt"]
    curation = Page(done[0] / "report" / "01_data_curation.html")
    assert any("マサバ" in image["alt"] for image in curation.all("img"))  # a figure's own title


def test_names_from_the_file_system_are_text_on_every_page(done):
    out, _ = done
    for page in pages(out):
        assert not page.all("b") and all("onerror" not in attributes for _, attributes in page.tags), page.path
    assert LONELY in Page(out / "report" / "03_inference_only.html").text  # a note, written as Markdown
    lonely = species_page(out, LONELY)
    assert LONELY in lonely.text and LONELY_FILE in lonely.text
    assert all(name in Page(out / "report" / "index.html").text for name in ("<b>odd & name", "マサバ", LONELY))


@given(st.lists(st.text(min_size=1), unique=True))
def test_a_species_name_gives_a_plain_file_name_of_its_own(names):
    files = [species_pages.page_file(name) for name in names]
    assert len({*files}) == len(files)
    assert all(re.fullmatch(r"species-[a-z0-9-]{12,60}\.html", file) for file in files)


def test_a_species_page_counts_what_the_predictions_hold(done):
    out, _ = done
    predictions = pd.read_csv(out / "predictions.csv")
    mine = predictions[(predictions.species == "Thunnus_albacares") & (predictions.variant == "crop_mask")]
    text = " ".join(species_page(out, "Thunnus_albacares").text.split())
    right, n = mine.correct.sum(), len(mine)
    assert re.search(rf"Crop & Mask {100 * right / n:.1f} {right} {n} \d+ to \d+ \d+\.\d", text)  # and the paper's
    assert "キハダ" in text and "Thunnus albacares" in text and "yellowfin" in text
    assert "The paper had" not in species_page(out, "<b>odd & name").text


def test_the_index_tells_what_the_stages_noted(done):
    out, _ = done
    text = " ".join(Page(out / "report" / "index.html").text.split())
    notes = [note for path in (out / "notes").glob("*.json") for note in json.loads(path.read_text("utf-8"))]
    assert any("linear head" in note for note in notes) and any("Left out" in note for note in notes)
    assert all(" ".join(note.split()) in text for note in notes)
    assert "22 photos of 4 species count" in text and "12 unreadable" in text
    assert " cannot be read (" not in text and "it is left out" not in text  # nothing of it is damaged


def test_a_mask_becomes_the_path_of_its_border():
    mask = np.zeros((20, 30), bool)
    mask[4:12, 6:16] = True
    assert species_pages.outline(mask, 30, 20) == "M6 4L6 11L15 11L15 4Z"
    assert species_pages.outline(np.zeros((20, 30), bool), 30, 20) == ""


def test_a_folder_that_is_no_run_gets_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.json"):
        report.build(tmp_path)
    with pytest.raises(UserError, match=r"holds no run\.json"):
        report.build(tmp_path / "nowhere")
    for text in ("{", "[]", "{}", '{"parameters": {}}', "\0"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(UserError, match=r"run\.json is damaged") as said:
            report.build(tmp_path)
        assert "\n" not in str(said.value)


def test_a_half_run_is_reported_as_far_as_it_goes(copy):
    for name in ("predictions.csv", "scores.csv", "draws.json"):
        (copy / name).unlink()
    for name in ("tables", "segments", "notes"):
        shutil.rmtree(copy / name)
    for path in (copy / "notebooks").glob("0[234]*"):
        path.unlink()
    for path in (copy / "figures").glob("*.png"):
        if path.stem != "counts":
            path.unlink()
    report.build(copy)
    assert {page.path.name for page in pages(copy)} >= {"index.html", "01_data_curation.html"}
    assert "No photo of this species was asked about" in species_page(copy, "マサバ").text
    assert species_page(copy, "マサバ").all("img")


def test_damaged_files_are_named_and_the_rest_is_reported(copy):
    spoiled = ["manifest.csv", "scores.csv", "tables/table2.html", "tables/figure3.csv", "figures/figure3.png"]
    spoiled += ["notes/inference.json", "notebooks/04_transfer_learning.ipynb", "segments/grabcut/index.csv"]
    for name in spoiled:
        (copy / name).write_bytes(b"\xff\xfe\0 spoiled")
    report.build(copy)
    text = Page(copy / "report" / "index.html").text
    assert all(name in text for name in spoiled)
    assert not (copy / "report" / "figures" / "figure3.png").exists()
    assert (copy / "report" / "03_inference_only.html").is_file()


def test_a_run_whose_photos_are_gone_still_has_a_report(copy):
    private = json.loads((copy / made_with.PRIVATE).read_text("utf-8"))
    private["photos"] = str(copy / "nowhere")
    (copy / made_with.PRIVATE).write_text(json.dumps(private), "utf-8")
    report.build(copy)
    assert "photo not at hand" in species_page(copy, "マサバ").text


def test_a_report_that_cannot_be_written_is_one_sentence(copy):
    (copy / "report").write_text("in the way")
    with pytest.raises(UserError, match=r"report cannot be made .*; remove what lies there"):
        report.build(copy)


def test_a_report_folder_that_is_a_link_is_refused(copy, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("my site")
    (copy / "report").symlink_to(site)
    with pytest.raises(UserError, match="is a link"):
        report.build(copy)
    assert (site / "index.html").read_text() == "my site" and not (copy / "report.zip").exists()


def test_only_what_lies_inside_the_run_and_its_photos_is_shown(copy, tmp_path, monkeypatch):
    """A stranger's run: absolute and climbing photo_ids, another file under a photo's name, links, pictures by path."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_rsa").write_text("TOPSECRET")
    (home / "pw.txt").write_text("PASSWORDS")
    where = json.loads((copy / made_with.PRIVATE).read_text("utf-8"))
    photos = shutil.copytree(where["photos"], home / "photos")
    manifest = pd.read_csv(copy / "manifest.csv", dtype=str, keep_default_na=False)
    shown = manifest[(manifest.species == "マサバ") & (manifest.status == "ok")].index
    private = home / "private.png"
    shutil.copyfile(photos / manifest.photo_id[shown[0]], private)
    manifest.loc[shown[0], ["photo_id", "path"]] = str(private)
    manifest.loc[shown[1], ["photo_id", "path"]] = "../private.png"
    shutil.copyfile(photos / manifest.photo_id[shown[2]], photos / manifest.photo_id[shown[3]])  # not that photo
    manifest.to_csv(copy / "manifest.csv", index=False)
    (copy / made_with.PRIVATE).write_text(json.dumps(where | {"photos": str(photos)}), "utf-8")

    linked = {"tables/table1.html": "pw.txt", "figures/x.png": "private.png", "notes/x.json": "pw.txt"}
    for name, target in linked.items():
        (copy / name).unlink(missing_ok=True)
        (copy / name).symlink_to(home / target)
    index = copy / "segments" / "grabcut" / "index.csv"
    masks = pd.read_csv(index, dtype=str, keep_default_na=False)
    masks["mask_file"] = str(private)
    masks.to_csv(index, index=False)
    cell = nbformat.v4.new_markdown_cell(
        "![x](.ssh/id_rsa) <img src='file:///etc/passwd'> ![](data:text/html;base64,AA)"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), copy / "notebooks" / "05_more.ipynb")

    monkeypatch.chdir(home)
    report.build(copy)
    text = Page(copy / "report" / "index.html").text
    assert all(f"{name} is a link" in text for name in linked)
    assert not (copy / "report" / "figures" / "x.png").exists()
    sources = {image["src"] for image in species_page(copy, "マサバ").all("img")}
    assert len(sources) == len(shown) - 3 and not species_page(copy, "マサバ").all("path")
    assert all("src" not in image for image in Page(copy / "report" / "05_more.html").all("img"))
    for path in (copy / "report").rglob("*.html"):
        assert not {"TOPSECRET", "PASSWORDS", "VE9QU0VDUkVU"} & {*re.findall(r"[A-Z0-9]{9,}", path.read_text("utf-8"))}


def test_html_of_a_stranger_loads_runs_and_posts_nothing(copy):
    bad = (
        '<meta http-equiv=refresh content="0;url=//a.invalid"><base href=//a.invalid>'
        '<form action=//a.invalid><input></form><a href="javascript:alert(1)">a</a>'
        '<svg onload=alert(1)><a xlink:href="//a.invalid">b</a></svg>'
        '<p style="background:url(//a.invalid);position:fixed;color:red" onclick=alert(1)>kept</p>'
        "<iframe src=//a.invalid></iframe><style>p{background:url(//a.invalid)}</style><script>1</script>"
        "<img srcset=//a.invalid src=//a.invalid>"
    )
    (copy / "tables" / "table1.html").write_text(bad)
    output = nbformat.v4.new_output("display_data", {"text/html": bad, "application/javascript": "alert(1)"})
    cells = [nbformat.v4.new_markdown_cell(bad), nbformat.v4.new_code_cell("1", outputs=[output])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), copy / "notebooks" / "05_more.ipynb")
    report.build(copy)
    for name in ("index", "05_more"):
        page = Page(copy / "report" / f"{name}.html")
        assert "kept" in page.text and "a.invalid" not in str(page.tags)
        assert "a.invalid" not in "".join(re.findall(r"(?s)<style.*?</style>", page.path.read_text("utf-8")))
        assert len(page.all("meta")) == 3 and len(page.all("script")) == 1
        assert not {"base", "form", "iframe", "object"} & {tag for tag, _ in page.tags}
        assert all(given["id"].startswith("names-") for given in page.all("input"))  # the page's own switch
        for _, attributes in page.tags:
            assert not any(attribute.startswith("on") for attribute in attributes)


def test_nothing_in_the_mailed_file_names_a_folder_or_a_person(done, copy):
    out, given = done
    report.build(copy)
    private = [str(out), str(copy), given["photos"], given["masks"], given["profile"], str(Path.home())]
    with zipfile.ZipFile(copy / "report.zip") as mailed:
        for name in mailed.namelist():
            data = mailed.read(name)
            assert not [path for path in private if path.encode() in data], name
    text = Page(copy / "report" / "index.html").text
    assert "--photos PHOTOS --masks MASKS" in text


def test_what_waits_for_a_verdict_is_no_percentage_at_a_glance(copy):
    path = copy / "tables" / "table1.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table[["grabcut", "grabcut_count"]] = ""
    table["grabcut_judged"], table["grabcut_unreviewed"] = "0", "4"
    table.to_csv(path, index=False)
    report.build(copy)
    text = " ".join(Page(copy / "report" / "index.html").text.split())
    assert "Well cut by GrabCut not judged yet (4 wait)" in text and " nan" not in text


def test_files_in_no_species_folder_are_listed_and_are_no_species(copy):
    with (copy / "manifest.csv").open("a", encoding="utf-8", newline="") as file:
        file.write("readme.txt,,readme.txt,,0,0,unreadable,not a photo (.txt)\n")
    report.build(copy)
    index = Page(copy / "report" / "index.html")
    assert "1 of these files lies in no species' folder: readme.txt" in " ".join(index.text.split())
    assert len(list((copy / "report").glob("species-*.html"))) == len(SPECIES) + 1


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("predictions.csv", "confidence", "nan"),
        ("predictions.csv", "correct", "7"),
        ("predictions.csv", "counted", ""),
        ("scores.csv", "iou", "inf"),
        ("manifest.csv", "width", "9" * 40),
        ("manifest.csv", "height", "-1"),
        ("tables/figure3.csv", "k", "1.5"),
        ("tables/figure3.csv", "micro_f1", "many"),
    ],
)
def test_a_number_that_cannot_be_is_named_with_its_row(tmp_path, name, column, value):
    kinds = reading.COLUMNS[name]
    row = {known: "1" if kind else "a" for known, kind in kinds.items()}
    (tmp_path / name).parent.mkdir(exist_ok=True)
    pd.DataFrame([row, row | {column: value}]).to_csv(tmp_path / name, index=False)
    run = reading.Run(tmp_path)
    assert run.frame(name).empty
    [said] = run.problems
    assert said.startswith(f"{name} cannot be read (row 3 has '{value[:20]}") and f"as {column})" in said


def test_facts_of_another_kind_are_left_out(copy):
    facts = json.loads((copy / "run.json").read_text("utf-8"))
    odd = {
        "hardware": ["a"],
        "versions": {"x": {"y": 1}},
        "checkpoints": None,
        "seconds": {"notebooks": 3, "stages": 1},
    }
    (copy / "run.json").write_text(json.dumps(facts | odd | {"named_by": 7, "command": {}}), "utf-8")
    report.build(copy)
    assert "Checkpoints" in Page(copy / "report" / "index.html").text


def test_building_it_again_needs_no_torch_and_leaves_no_old_page(copy):
    (copy / "report").mkdir()
    (copy / "report" / "species-gone.html").write_text("old")
    code = "import sys; from fishlib.show import report; report.build(sys.argv[1]); print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code, copy], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
    assert not (copy / "report" / "species-gone.html").exists() and (copy / "report" / "index.html").is_file()


def test_markup_that_code_wrote_as_markdown_is_text(copy):
    name = "<img src=x> ![a](http:/b) [c](d) **bold**"
    output = nbformat.v4.new_output("display_data", {"text/markdown": f"- Left out: {name}"})
    cells = [nbformat.v4.new_markdown_cell("# One <b>\n\nText"), nbformat.v4.new_code_cell("1", outputs=[output])]
    path = copy / "notebooks" / "05_more.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    report.build(copy)
    page = Page(path.parents[1] / "report" / "05_more.html")
    assert not page.all("img") and "d" not in [a["href"] for a in page.all("a")]
    assert "<img src=x> ![a](http:/b) [c](d)" in page.text


# What a browser makes of it


@pytest.fixture
def opened(browser, request):
    """A page of a browser with scripts on or off (as parametrized), no network, and what it asked for."""
    scripts = getattr(request, "param", True)
    context = browser.new_context(java_script_enabled=scripts, offline=True, viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    asked = []
    tab.on("request", lambda r: asked.append(r.url))
    yield tab, asked
    context.close()


def inside(url, folder):
    parts = urlsplit(url)
    return parts.scheme == "data" or (
        parts.scheme == "file" and unquote(parts.path).startswith(f"{folder.as_posix()}/")
    )


@pytest.mark.browser
@pytest.mark.parametrize("opened", [False], indirect=True, ids=["scripts off"])
def test_with_scripts_and_network_off_everything_is_there(done, opened, artifacts):
    folder, (tab, asked) = done[0] / "report", opened
    for path in sorted(folder.glob("*.html")):
        tab.goto(path.as_uri())
        images = tab.locator("img")
        sizes = [images.nth(i).evaluate("image => [image.complete, image.naturalWidth]") for i in range(images.count())]
        assert all(complete and width > 0 for complete, width in sizes), path
        for address in tab.locator("a[href]").evaluate_all("links => links.map(a => a.href)"):
            assert inside(address, folder)
            target = folder / unquote(urlsplit(address).path).split("/")[-1]
            assert target.is_file(), address
        tab.screenshot(path=artifacts / f"report-{path.stem}.png", full_page=True)
    assert asked and [url for url in asked if not inside(url, folder)] == []
    tab.goto((folder / species_pages.page_file(LONELY)).as_uri())
    assert tab.inner_text("h1") == LONELY and LONELY_FILE in tab.inner_text("main")


@pytest.mark.browser
def test_tables_sort_by_click_and_by_key(done, opened):
    tab, _ = opened
    tab.goto((done[0] / "report" / "index.html").as_uri())
    table = tab.locator("table.study").nth(1)  # table 2
    heading = table.locator("thead tr").last.locator("th").nth(1)  # photos, this run

    def column():
        return [int(text) for text in table.locator("tbody tr td:nth-child(2)").all_inner_texts()]

    before = column()
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending" and column() == [*sorted(before[:-1]), before[-1]]
    heading.get_by_role("button").focus()
    tab.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert column() == [*sorted(before[:-1], reverse=True), before[-1]]  # the total stays last


@pytest.mark.browser
def test_numbers_sort_as_numbers_and_gaps_last(done, opened, tmp_path):
    tab, _ = opened
    text = (done[0] / "report" / "index.html").read_text("utf-8")
    cells = "".join(f"<tr><td>{v}</td></tr>" for v in ("9.5 (2)", "not run", "100.0 (3)", "-1.5", "20.0 (1)"))
    table = f"<table id=mine><thead><tr><th>a</th></tr></thead><tbody>{cells}</tbody></table>"
    (tmp_path / "page.html").write_text(text.replace("<h1>", f"{table}<h1>"), "utf-8")
    tab.goto((tmp_path / "page.html").as_uri())
    tab.locator("#mine button").click()
    assert tab.locator("#mine td").all_inner_texts() == ["-1.5", "9.5 (2)", "20.0 (1)", "100.0 (3)", "not run"]


@pytest.mark.browser
def test_a_script_that_came_in_with_a_name_does_not_run(done, opened, tmp_path):
    tab, asked = opened
    text = (done[0] / "report" / "index.html").read_text("utf-8")
    bad = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\"><img src=http://a.invalid/>"
    (tmp_path / "page.html").write_text(text.replace("<h1>", f"{bad}<h1>"), "utf-8")
    refused = {}
    tab.on("requestfailed", lambda r: refused.update({r.url: r.failure}))
    tab.goto((tmp_path / "page.html").as_uri())
    assert tab.title() != "ran"
    assert {url for url in asked if url.startswith("http")} == {"http://a.invalid/"}
    assert refused["http://a.invalid/"] == "csp"  # refused by the page, not by the missing network
    assert tab.locator("button.sort").count() > 3  # our own did


@pytest.mark.browser
@pytest.mark.parametrize("opened", [False], indirect=True, ids=["scripts off"])
def test_a_choice_of_names_shows_one_of_them_without_scripts(done, opened):
    tab, _ = opened
    tab.goto((done[0] / "report" / "index.html").as_uri())
    shown = tab.locator("#species ~ .grid figure", has_text="Thunnus albacares").first
    assert shown.locator("span.n").all_inner_texts()[:2] == ["キハダ", " Thunnus albacares"]
    assert shown.locator("span.n-en").first.is_hidden()
    tab.locator("#names-en").check()
    assert shown.locator("span.n-en").first.is_visible() and shown.locator("span.n-ja").first.is_hidden()


CONTRAST = """() => {  // text below WCAG's AA: 4.5, and 3 for large text; every colour is mixed with what lies under it
  const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const parse = (text) => numbers(text).map((v, i) => (i < 3 && text.startsWith("color(") ? 255 * v : v));  // of a mix
  const over = (top, alpha, under) => top.map((value, i) => value * alpha + under[i] * (1 - alpha));
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.disabled) continue;
    let opacity = 1, ground = [], style = getComputedStyle(element);
    for (let at = element; at; at = at.parentElement) {
      opacity *= Number(getComputedStyle(at).opacity);
      ground.unshift(parse(getComputedStyle(at).backgroundColor));
    }
    let under = [255, 255, 255];
    for (const [r, g, b, a = 1] of ground) under = over([r, g, b], a, under);
    const [r, g, b, a = 1] = parse(element instanceof SVGElement ? style.fill : style.color);
    const pair = [light(over([r, g, b], a * opacity, under)), light(under)].sort();
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push([element.tagName, element.textContent.trim().slice(0, 40), ratio]);
  }
  return poor;
}"""


@pytest.mark.browser
def test_text_stands_out_from_its_ground(done, opened):
    tab, _ = opened
    for name in ("index.html", "03_inference_only.html", species_pages.page_file("マサバ")):
        path = done[0] / "report" / name
        tab.goto(path.as_uri())
        assert tab.evaluate(CONTRAST) == [], name


@pytest.mark.browser
def test_pages_fit_a_narrow_screen_and_print(done, opened, artifacts):
    tab, _ = opened
    for path in sorted((done[0] / "report").glob("*.html")):
        tab.set_viewport_size({"width": 390, "height": 800})
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, path
        printed = tab.pdf(path=artifacts / f"report-{path.stem}.pdf")
        assert printed.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", printed)) > 0
