"""A notebook whose predecessors have not run says which, and runs them on request; parameters are looked at first."""

import json
import subprocess

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from fishlib import opening, run
from fishlib.errors import UserError
from fishlib.files import writing
from fishlib.photos.manifest import curated


@pytest.mark.parametrize("number", ["02", "03", "04", "05"])
def test_it_names_the_notebook_that_is_missing_and_what_to_do(tiny_study, number):
    with pytest.raises(UserError, match=rf"^Notebook {number} needs what notebook 01 leaves") as said:
        opening.earlier(tiny_study, number)
    assert "run_missing = True" in str(said.value) and "--only 01" in str(said.value)


def test_what_it_can_do_without_is_said_and_left_out(tiny_study):
    writing.write_text(tiny_study.out / "manifest.csv", "photo_id\n")
    assert opening.earlier(tiny_study, "04") == []
    said = opening.earlier(tiny_study, "05")
    assert [sentence.split(" has")[0] for sentence in said] == ["Notebook 03", "Notebook 04"]
    writing.write_text(tiny_study.out / "predictions.csv", "photo_id\n")
    writing.write_text(tiny_study.out / "tables" / "figure3.csv", "k\n")
    assert opening.earlier(tiny_study, "05") == []


def test_it_runs_what_is_missing_from_within_a_notebook(tiny_photos, tiny_profile, tmp_path):
    """As a person in Lab does with the first cells of notebook 02, in a folder where nothing has run."""
    out = tmp_path / "run"
    given = {"out": str(out), "profile": str(tiny_profile), "photos": str(tiny_photos / "photos"), "offline": True}
    first = new_code_cell("out = None\nprofile = None\nphotos = None\noffline = False")
    first.metadata["tags"] = ["parameters"]
    cells = [
        "from fishlib.opening import earlier, open_study",
        "study = open_study(out, profile, photos, offline=offline)",
        "print(earlier(study, '02', True))",
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    source = tmp_path / "02_small.ipynb"
    nbformat.write(new_notebook(cells=[first, *map(new_code_cell, cells)], metadata=kernel), source)
    run.execute(source, tmp_path / "done" / source.name, given)
    printed = "".join(output.text for output in nbformat.read(tmp_path / "done" / source.name, 4).cells[-1].outputs)
    assert "Notebook 01 had not run in run and has run now." in printed
    study = opening.reopen(out)
    assert len(curated(study)) == 21 and (out / "notebooks" / "01_data_curation.ipynb").is_file()


def test_a_predecessor_that_stops_says_why_in_a_sentence(tiny_study, monkeypatch):
    trace = "Traceback (most recent call last):\n  File ...\n"
    said = "fishlib.errors.UserError: 01_data_curation.ipynb stopped: curation.csv has no column 'photo_id'"
    ended = subprocess.CompletedProcess([], 1, stdout="", stderr=trace + said + "\n")
    monkeypatch.setattr(opening.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(
        UserError, match=r"^Notebook 01 did not run: 01_data_curation\.ipynb stopped: curation"
    ) as found:
        opening.earlier(tiny_study, "02", True)
    assert "\n" not in str(found.value) and "Traceback" not in str(found.value)


def test_every_parameter_of_a_wrong_kind_is_named_before_anything_is_made(tmp_path):
    wrong = {"photos": 3, "masks": ["a"], "method": "", "offline": "no", "device": None}
    with pytest.raises(UserError) as said:
        opening.open_study(str(tmp_path / "run"), **wrong)
    text = str(said.value)
    for part in ("photos is 3", "masks is ['a']", "method is empty", "offline is 'no'", "device is None"):
        assert part in text
    assert "\n" not in text and not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="run_missing is 1; it takes True or False"):
        opening.earlier(None, "02", 1)


def test_every_notebook_asks_in_its_first_cell_after_the_parameters():
    for path in run.notebooks():
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        [at] = [i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
        first = "".join(cells[at + 1]["source"])
        assert first.startswith("study = open_study(out, profile, photos, masks, method, classifier, offline, device)")
        number = path.name[:2]
        assert (f'earlier(study, "{number}", run_missing, method)' in first) == (number != "01")
