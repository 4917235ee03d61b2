"""A second run executes exactly the notebooks that read something which changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from fishlib import cache, opening, run, warm
from fishlib.files import reads

ALL = ["01", "02", "03", "04"]  # the paper's; what lies beyond reads the tables of all of them


def stale(done, **changed) -> list[str]:
    """Numbers of the notebooks that the same command, but for what is changed, would execute first of all."""
    out, given = done
    given = given | changed
    study = opening.asked(str(out), **given)
    identities, contents = run._checkpoints(study), warm.Contents()
    values = given | {"out": str(study.out)}
    return [
        path.name[:2]
        for path in run.notebooks()
        if path.name[:2] in ALL and not warm.is_fresh(study, path, warm.key(path, values, study, identities), contents)
    ]


@pytest.fixture
def edit():
    """edit(file) changes one byte more, edit(file, text) writes it; after the test all is as it was."""
    before = {}

    def change(file: Path, text: str | None = None) -> None:
        before.setdefault(file, file.read_bytes() if file.is_file() else None)
        file.write_bytes(before[file] + b" " if text is None else text.encode())

    yield change
    for file, content in before.items():
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)


@pytest.fixture
def copied(monkeypatch, tmp_path):
    """A copy of the package's sources, which keys are made of."""
    package = tmp_path / "fishlib"
    shutil.copytree(cache.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "PACKAGE", package)
    cache.code_closure.cache_clear()
    yield package
    cache.code_closure.cache_clear()


def masks_of(done) -> Path:
    return Path(done[1]["masks"]) / "Thunnus_albacares" / "3.png"


def test_nothing_is_executed_where_nothing_changed(done):
    assert stale(done) == []


def test_a_true_mask_is_read_by_what_scores(done, edit):
    edit(masks_of(done))
    assert stale(done) == ["01", "02"]


def test_a_methods_mask_is_read_by_all_that_show_it(done, edit):
    edit(done[0] / "segments" / "grabcut" / "Thunnus_albacares" / "3.png")
    assert stale(done) == ["02", "03", "04"]


def test_a_verdict_is_read_by_table_1_also_the_first(done, edit):
    rows = "photo_id,method,reviewer,verdict\nThunnus_albacares/3.png,grabcut,a,bad\n"
    edit(done[0] / "reviews.csv", rows)
    assert stale(done) == ["02"]


def test_a_tag_is_read_by_what_shows_it_also_the_first(done, edit):
    edit(done[0] / "tags.csv", "photo_id,tag\nThunnus_albacares/3.png,shadow\n")
    assert stale(done) == ["03"]


def test_a_decision_and_a_new_photo_are_read_by_the_curation(done, edit):
    edit(done[0] / "curation.csv", "photo_id,one_whole_fish,note\n")
    assert stale(done) == ["01"]
    edit(Path(done[1]["photos"]) / "Thunnus_albacares" / "new.png", "")
    assert stale(done) == ["01"]


def test_what_a_later_notebook_writes_over_is_its_own(done, edit):
    out, second = done[0], run.notebooks()[1]
    for record in (out / warm.FOLDER).glob("*.json"):
        edit(record, record.read_text(encoding="utf-8"))  # put back afterwards
    written = out / "segments" / "truth" / "index.csv"
    edit(written)
    assert "01" in stale(done)
    warm.keep(opening.asked(str(out), **done[1]), second, "key", [str(written)], warm.Contents())
    assert "01" not in stale(done)


def test_a_parameter_is_read_by_every_notebook(done):
    assert stale(done, offline=False) == ALL


@pytest.mark.parametrize(
    ("file", "numbers"),
    [
        ("naming/sweep.py", ["04"]),
        ("naming/inference.py", None),
        ("removal/segmenters/gdino_fast.py", ALL),  # its masks are read by all that may run it
        ("show/figure3.py", ["04"]),
        ("show/report/species_pages.py", []),
    ],
)
def test_a_line_of_source_is_read_by_the_notebooks_that_lead_to_it(done, copied, edit, file, numbers):
    assert stale(done) == []
    edit(copied / file)
    found = stale(done)
    assert found == numbers if numbers is not None else "03" in found


def test_a_cell_is_read_by_its_own_notebook(done, monkeypatch, tmp_path):
    shutil.copytree(run.NOTEBOOKS, tmp_path / "notebooks")
    monkeypatch.setattr(run, "NOTEBOOKS", tmp_path / "notebooks")
    path = tmp_path / "notebooks" / "03_inference_only.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source += "\n1 + 1"
    nbformat.write(notebook, path)
    assert stale(done) == ["03"]


def test_what_a_notebook_left_is_made_again_where_it_was_touched(done, edit):
    edit(done[0] / "tables" / "table1.csv")
    assert stale(done) == ["02"]
    edit(done[0] / "notebooks" / "04_transfer_learning.ipynb")
    assert stale(done) == ["02", "04"]


def test_damaged_notes_of_an_execution_are_a_reason_to_execute(done, edit):
    edit(done[0] / warm.FOLDER / "01_data_curation.json", '{"key": 1}')
    assert stale(done) == ["01"]


def test_exactly_what_is_downstream_runs_again(done, edit, monkeypatch, capsys):
    """The methods' mask that was touched is made anew by 02; what 03 and 04 read then is what it was."""
    out, given = done
    before = (out / "segments" / "grabcut" / "Thunnus_albacares" / "3.png").read_bytes()
    edit(out / "segments" / "grabcut" / "Thunnus_albacares" / "3.png")
    executed = []
    execute = run.execute
    monkeypatch.setattr(
        run, "execute", lambda source, *rest: (executed.append(source.name[:2]), execute(source, *rest))
    )
    run.reproduce(out=str(out), **given)
    assert [number for number in executed if number in ALL] == ["02"]
    assert (out / "segments" / "grabcut" / "Thunnus_albacares" / "3.png").read_bytes() == before
    told = capsys.readouterr()
    assert (told.out + told.err).count("nothing it reads has changed") == len(run.notebooks()) - len(executed)
    assert set(json.loads((out / "run.json").read_text(encoding="utf-8"))["seconds"]["notebooks"]) == {
        path.stem for path in run.notebooks()
    }
    executed.clear()
    run.reproduce(out=str(out), only="01", force=True, **given)
    assert executed == ["01"]


def test_a_process_notes_what_it_opens_lists_and_looks_for(tmp_path):
    (tmp_path / "read.txt").write_text("x")
    code = (
        "import os, pathlib; from fishlib.files import reads; reads.note_if_asked(); reads.note_if_asked();"
        f"root = pathlib.Path({str(tmp_path)!r}); (root / 'read.txt').read_text(); list(root.iterdir());"
        "reads.looked_for(root / 'none.csv').exists(); os.replace(root / 'read.txt', root / 'moved.txt')"
    )
    notes = tmp_path / "notes"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {reads.VARIABLE: str(notes)})
    names = {"read.txt", "none.csv", "moved.txt"}
    assert reads.noted(notes) >= {str(tmp_path), *(str(tmp_path / name) for name in names)}
