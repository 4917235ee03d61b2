"""The strict notebook runner, one fixture notebook a kind of failure."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from fishlib import run
from fishlib.errors import UserError


@pytest.fixture
def notebook(tmp_path):
    def write(*cells, name="01_small.ipynb"):
        parameters = new_code_cell("out = 'x'\nnumber = 1")
        parameters.metadata["tags"] = ["parameters"]
        path = tmp_path / name
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(new_notebook(cells=[parameters, *map(new_code_cell, cells)], metadata=kernel), path)
        return path

    return write


def outputs(path):
    return "".join(o.get("text", "") for c in nbformat.read(path, 4).cells for o in c.get("outputs", []))


def test_parameters_reach_the_notebook_which_runs_in_its_own_folder(notebook, tmp_path):
    source = notebook("import pathlib\nprint(out, number + 1, pathlib.Path.cwd())")
    run.execute(source, tmp_path / "done" / "01.ipynb", {"out": "y", "number": 41})
    assert outputs(tmp_path / "done" / "01.ipynb").strip() == f"y 42 {tmp_path}"


def test_an_unknown_parameter_is_an_error(notebook, tmp_path):
    with pytest.raises(UserError, match="no parameter 'nunber'"):
        run.execute(notebook("pass"), tmp_path / "done.ipynb", {"nunber": 2})
    assert not (tmp_path / "done.ipynb").exists()


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_a_parameter_must_be_plain_json(notebook, tmp_path, value):
    with pytest.raises(UserError, match="plain JSON"):
        run.execute(notebook("pass"), tmp_path / "done.ipynb", {"number": value})


def test_a_failing_cell_stops_the_run_and_keeps_the_notebook_so_far(notebook, tmp_path):
    source = notebook("print('before')", "1 / 0", "print('after')")
    with pytest.raises(UserError, match=r"01_small.ipynb stopped: ZeroDivisionError"):
        run.execute(source, tmp_path / "done.ipynb", {})
    assert outputs(tmp_path / "done.ipynb") == "before\n"


def test_a_users_mistake_inside_a_notebook_stays_one_sentence(notebook, tmp_path):
    source = notebook("from fishlib.errors import UserError\nraise UserError('The folder x is empty; fill it.')")
    with pytest.raises(UserError, match=r"^01_small.ipynb stopped: The folder x is empty; fill it\. \("):
        run.execute(source, tmp_path / "done.ipynb", {})


def test_an_unknown_number_names_the_choice():
    with pytest.raises(UserError, match="choose 01 to 05"):
        run.notebooks("7")
    assert [p.name[:2] for p in run.notebooks()] == ["01", "02", "03", "04", "05"]
    assert [p.name[:2] for p in run.notebooks("2")] == ["02"]


def test_every_missing_checkpoint_is_said_together_before_the_first_notebook(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path / "weights"))
    said_before = []

    def started(*_):
        said_before.append(capsys.readouterr().err)
        return tmp_path

    monkeypatch.setattr(run, "_run", started)
    run.reproduce(profile="paper", out=str(tmp_path / "run"))
    [said] = said_before
    assert said.startswith("Missing: ")
    assert all(name in said for name in ("groundingdino_swint_ogc", "bert", "sam_vit_h", "clip", "detic", "swin_t"))
    assert "`fishlib weights fetch --profile paper` gets them" in said

    run.reproduce(profile="demo", out=str(tmp_path / "other"))
    assert said_before[1] == ""
