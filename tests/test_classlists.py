"""Class lists: the names in the order of the outputs, whatever order the file has them in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishlib.errors import UserError
from fishlib.naming import checkpoints, classlists


def written(folder, name: str, content: str):
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "name, content",
    [
        ("x.json", '["a", "b", "c"]'),
        ("x.json", '{"classes": ["a", "b", "c"]}'),
        ("x.json", '{"0": "a", "1": "b", "2": "c"}'),
        ("x.json", '{"2": "c", "0": "a", "1": "b"}'),
        ("x.json", '{"classes": {"2": "c", "0": "a", "1": "b"}}'),
        ("x.json", '{"b": 1, "c": 2, "a": 0}'),  # torchvision's class_to_idx
        ("x.csv", "species,n\na,1\nb,2\nc,3\n"),
        ("x.csv", "\ufeffsomething\na\nb\nc\n"),
        ("x.csv", "Name\r\na\r\nb\r\nc\r\n"),
        ("x.csv", "SPECIES;N\na;3\nb;1\nc;2\n"),
        ("x.csv", "id,name\n2,c\n0,a\n1,b\n"),
        ("x.csv", "NAME\tIndex\nb\t1\na\t0\nc\t2\n"),
        ("x.csv", "class_id,species\n1,b\n2,c\n0,a\n"),
        ("x.csv", "label,name\n1,b\n2,c\n0,a\n"),
        ("x.csv", "class,name\n1,b\n2,c\n0,a\n"),
        ("x.csv", "class\na\nb\nc\n"),
        ("x.csv", "label\na\nb\nc\n"),
        ("x.csv", ",name\n1,b\n2,c\n0,a\n"),  # as pandas writes its index
        ("x.csv", "code,index\nb,1\na,0\nc,2\n"),
        ("x.csv", "name,id\na,fao:1\nb,fao:2\nc,fao:0\n"),  # no number: a key of another list
    ],
)
def test_names_come_in_the_order_of_the_outputs(tmp_path, name, content):
    assert classlists.read(written(tmp_path, name, content))["classes"] == ["a", "b", "c"]


@given(st.permutations(["a", "b", "c", "d"]), st.sampled_from(["id", "Index", "CLASS_ID", "label"]))
def test_a_stated_index_decides_whatever_the_order_of_the_rows(tmp_path_factory, order, column):
    rows = "".join(f"{'abcd'.index(name)},{name}\n" for name in order)
    file = written(tmp_path_factory.mktemp("list"), "x.csv", f"{column},Name\n{rows}")
    assert classlists.read(file)["classes"] == ["a", "b", "c", "d"]
    file = written(file.parent, "x.json", json.dumps({str("abcd".index(name)): name for name in order}))
    assert classlists.read(file)["classes"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("x.csv", "id,name\n1,a\n2,b\n3,c\n", "its column id runs from 1 to 3 over 3 classes; count .* from 0"),
        ("x.csv", "id,name\n0,a\n0,b\n1,c\n", "its column id runs from 0 to 1 over 3 classes"),
        ("x.csv", "id,name\n0,a\n7,b\n", "runs from 0 to 7 over 2 classes"),
        ("x.csv", "id,index\n0,0\n1,1\n", "numbers alone"),
        ("x.csv", "id,name\n1,\n0,b\n", "class 1 .* is no name"),
        ("x.csv", "", "empty"),
        ("x.csv", "name\n", "names no class"),
        ("x.csv", "name,Name\na,b\n", "more than once"),
        ("x.csv", "name\nThunnus albacares (Bonnaterre, 1788)\n", "row 2.*quote the commas"),
        ("x.json", '{"1": "a", "2": "b"}', "its index runs from 1 to 2"),
        ("x.json", '{"a": 0, "b": 0}', "its index runs from 0 to 0"),
        ("x.json", "{}", "no class list"),
        ("x.json", "[]", "names no class"),
        ("x.json", "5", "no class list"),
        ("x.json", "{", "no readable JSON"),
        ("x.json", '[{"id": 1, "name": "a"}]', "class 0 .* is no name"),
        ("x.json", '["a", null]', "class 1 .* is no name"),
        ("x.json", '{"classes": ["a"], "mean": [0, 1]}', "mean = .*three numbers"),
        ("x.json", '{"classes": ["a"], "std": [0, 1, 1]}', "std = .*three numbers"),
    ],
)
def test_what_is_no_list_is_one_sentence_that_names_the_file(tmp_path, name, content, said):
    with pytest.raises(UserError, match=said) as error:
        classlists.read(written(tmp_path, name, content))
    assert name in str(error.value) and "\n" not in str(error.value)


def test_mean_and_std_come_with_a_list(tmp_path):
    said = {"classes": ["a"], "mean": [0, 0.5, 1], "std": [1, 1, 0.5], "backbone": "resnet18"}
    found = classlists.read(written(tmp_path, "x.json", json.dumps(said)))
    assert found == {"classes": ["a"], "mean": (0, 0.5, 1), "std": (1, 1, 0.5)}


def test_two_lists_beside_a_checkpoint_are_refused(tmp_path):
    written(tmp_path, "m.classes.csv", "name\na\n")
    assert classlists.beside(tmp_path / "m.pth") == [tmp_path / "m.classes.csv"]
    written(tmp_path, "m.pth.classes.json", '["b"]')
    (tmp_path / "m.pth").touch()
    with pytest.raises(UserError, match=r"two class lists.*m\.pth\.classes\.json and m\.classes\.csv"):
        checkpoints.classes(tmp_path / "m.pth")
