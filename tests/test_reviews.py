import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fishlib.errors import UserError
from fishlib.removal import reviews
from fishlib.show import tables

HEAD = "photo_id,method,reviewer,verdict\n"


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / reviews.FILE
    path.write_text(text, encoding=encoding)
    return reviews.read(path)


def test_no_file_no_verdicts(tmp_path):
    frame = reviews.read(tmp_path / "reviews.csv")
    assert list(frame) == reviews.COLUMNS and frame.empty and reviews.well_cut(frame).empty


def test_the_latest_verdict_of_a_reviewer_counts_and_an_empty_one_takes_it_back(tmp_path):
    rows = "a/1.jpg,detic,Ann,good\na/1.jpg,detic,Bo,good\na/1.jpg,gdino-sam,Ann,good\n"
    rows += "a/1.jpg,detic,Ann, BAD \na/1.jpg,detic,Bo,\n"
    frame = read(tmp_path, HEAD + rows, "utf-8-sig")  # Excel's mark in front
    assert frame.to_numpy().tolist() == [
        ["a/1.jpg", "gdino-sam", "Ann", "good"], ["a/1.jpg", "detic", "Ann", "bad"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            HEAD + "a/1.jpg,detic,Ann,fine\n",
            r"reviews\.csv, row 2, says 'fine' for a/1.jpg; verdict is good, bad or unsure",
        ),
        ("photo_id,method,verdict\na/1.jpg,detic,good\n", "reviewer"),
        (HEAD.strip() + ",date\na/1.jpg,detic,Ann,good,today\n", "date"),
        (HEAD + 'a/1.jpg,"det', "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, text)


@pytest.mark.parametrize("verdicts, expected", [
    ("good", 1), ("bad", 0), ("good good bad", 1), ("bad unsure bad good", 0), ("good unsure", 1),
    ("good bad", np.nan), ("unsure", np.nan), ("unsure unsure good bad", np.nan),
])  # fmt: skip
def test_the_majority_of_good_and_bad_decides(tmp_path, verdicts, expected):
    rows = "".join(f"a/1.jpg,detic,{i},{v}\n" for i, v in enumerate(verdicts.split()))
    [row] = reviews.well_cut(read(tmp_path, HEAD + rows)).to_dict("records")
    assert row["well_cut"] == expected or (np.isnan(row["well_cut"]) and np.isnan(expected))


def test_verdicts_fill_table_1_where_there_is_no_truth(tmp_path):
    rows = [  # a photo with a true mask, two without, one where no fish was found, one in decomposed Japanese
        ("a/1.jpg", "a", "detic", "ok", 0.9, 1),
        ("a/2.jpg", "a", "detic", "ok", np.nan, np.nan),
        ("a/3.jpg", "a", "detic", "ok", np.nan, np.nan),
        ("a/4.jpg", "a", "detic", "no_detection", np.nan, np.nan),
        ("カ\u3099/5.jpg", "カ\u3099", "detic", "ok", np.nan, np.nan),
    ]
    scores = pd.DataFrame(rows, columns=["photo_id", "species", "method", "status", "iou", "well_cut"])
    said = "a/1.jpg,detic,Ann,bad\na/2.jpg,detic,Ann,bad\na/2.jpg,gdino-sam,Ann,good\nガ/5.jpg,detic,Ann,good\n"
    judged = reviews.apply(scores, read(tmp_path, HEAD + said + "z/9.jpg,detic,Ann,good\n"))
    np.testing.assert_array_equal(judged["well_cut"], [1, 0, np.nan, np.nan, 1])  # the true mask goes first
    total = tables.table1(judged, {}).iloc[-1]
    assert (total["detic_count"], total["detic_judged"], total["detic_unreviewed"]) == (2, 3, 1)
    assert total["detic"] == 66.7  # while one waits, the photo without a mask stays out
    np.testing.assert_array_equal(reviews.apply(scores, read(tmp_path, HEAD))["well_cut"], scores["well_cut"])


def test_agreement_of_two_reviewers(tmp_path):
    def said(name, verdicts):
        return "".join(f"a/{i}.jpg,detic,{name},{v}\n" for i, v in enumerate(verdicts.split()))

    ann, bo = said("Ann", "good good bad bad good unsure"), said("Bo", "good bad bad bad unsure good")
    frame = read(tmp_path, HEAD + ann + bo + said("Cy", "good good"))
    found = reviews.agreement(frame, "Ann", "Bo")
    assert (found["n"], found["same"], found["kappa"]) == (4, 0.75, pytest.approx(0.5))
    assert -1 <= found["lo"] < 0.5 < found["hi"] <= 1
    alike = reviews.agreement(frame, "Ann", "Cy")
    assert (alike["n"], alike["same"]) == (2, 1.0) and np.isnan(alike["kappa"]) and np.isnan(alike["lo"])
    nobody = reviews.agreement(frame, "Ann", "Dee")
    assert nobody["n"] == 0 and np.isnan(nobody["same"]) and np.isnan(nobody["kappa"])


def test_one_verdict_replaces_the_reviewers_own_and_can_be_taken_back(tmp_path):
    csv = tmp_path / reviews.FILE
    reviews.put(csv, ("a/1.jpg", "detic"), "Ann", "good")
    reviews.put(csv, ("a/1.jpg", "detic"), "Bo", "unsure")
    reviews.put(csv, ("a/1.jpg", "detic"), " Ann ", "bad")
    reviews.put(csv, ("a/2.jpg", "detic"), 'Bo, "or\r\n', "good")
    assert reviews.read(csv)[["photo_id", "reviewer", "verdict"]].to_numpy().tolist() == [
        ["a/1.jpg", "Bo", "unsure"], ["a/1.jpg", "Ann", "bad"], ["a/2.jpg", 'Bo, "or', "good"],
    ]  # fmt: skip
    reviews.put(csv, ("a/1.jpg", "detic"), "Bo", None)
    reviews.put(csv, ("a/2.jpg", "detic"), 'Bo, "or\r\n', None)
    assert reviews.read(csv)["reviewer"].tolist() == ["Ann"]


def test_a_verdict_never_replaces_a_file_that_cannot_be_read(tmp_path):
    csv = tmp_path / reviews.FILE
    csv.write_text("my,own\n1,2\n")
    with pytest.raises(UserError, match=r"reviews\.csv"):
        reviews.put(csv, ("a/1.jpg", "detic"), "Ann", "good")
    assert csv.read_text() == "my,own\n1,2\n"


ANSWER = """
import sys
from pathlib import Path
from fishlib.removal import reviews
print("ready", flush=True)
sys.stdin.readline()
for i in range(100):
    reviews.put(Path(sys.argv[1]), (f"a/{i}.jpg", "detic"), sys.argv[2], "good")
"""


def test_two_reviewers_in_two_processes_lose_no_answer(tmp_path):
    csv = tmp_path / reviews.FILE
    start = [sys.executable, "-c", ANSWER, csv]
    both = [subprocess.Popen([*start, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "AB"]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        process.communicate()
        assert process.returncode == 0
    assert reviews.read(csv).groupby("reviewer").size().to_dict() == {"A": 100, "B": 100}
    assert {path.name for path in tmp_path.iterdir()} <= {reviews.FILE, f".{reviews.FILE}.lock"}
