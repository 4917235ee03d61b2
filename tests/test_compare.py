"""Two runs held against each other, photo by photo."""

import shutil

import pandas as pd
import pytest
from conftest import ODD
from typer.testing import CliRunner

from fishlib import cli
from fishlib.beyond import compare
from fishlib.errors import UserError
from fishlib.files.frames import read_frame, write_frame
from fishlib.show import report


def answers(**variants):
    """sha256 s0, s1, ...; variant; right (1) or wrong (0), None where the photo was not judged."""
    rows = []
    for variant, right in variants.items():
        rows += [(f"s{i}", variant, value) for i, value in enumerate(right) if value is not None]
    return pd.DataFrame(rows, columns=["sha256", "variant", "correct"])


def test_answers_about_the_same_photos_are_paired_by_hand():
    a = answers(original=[0, 0, 0, 0, 0, 1, None], crop=[1, 1, 1, 1, 1, 1, 1], mask=[1])
    b = answers(original=[1, 1, 1, 1, 1, 0, 1], crop=[1, 1, 1, 1, 1, 1, 1])
    found = compare.paired(a, b.sample(frac=1, random_state=0)).set_index("variant")
    assert found.index.tolist() == ["original", "crop"]
    assert found.loc["original", ["n", "only_a", "only_b"]].tolist() == [6, 1, 5]
    assert found.loc["original", "difference"] == pytest.approx(100 * 4 / 6)
    assert found.loc["original", "p_value"] == pytest.approx(2 * 7 / 64)
    assert found.loc["original", "p_holm"] == pytest.approx(4 * 7 / 64)
    assert found.loc["crop", "p_holm"] == 1


def test_a_group_counts_once():
    """Five photos of one group change together: as likely as not, where photos alone would be one in 16."""
    a, b = answers(crop=[0] * 5), answers(crop=[1] * 5)
    groups = pd.Series("a trip", index=[f"s{i}" for i in range(5)])
    assert compare.paired(a, b).loc[0, "p_value"] == pytest.approx(2 / 32)
    assert compare.paired(a, b, groups).loc[0, "p_value"] == 1


def test_inputs_that_one_run_has_alone_are_not_compared():
    assert compare.paired(answers(mask=[1]), answers(crop=[1])).empty


@pytest.fixture
def two(done, tmp_path):
    """A copy of the finished run, and another of it in which photos have other names and one answer changed."""
    out, _ = done
    skip = shutil.ignore_patterns("report", "cache", "segments", "notebooks")
    folders = [shutil.copytree(out, tmp_path / name, ignore=skip) for name in ("a", "b")]
    manifest, predictions = (read_frame(folders[1] / name) for name in ("manifest.csv", "predictions.csv"))
    for frame in (manifest, predictions):
        frame["photo_id"] = frame["photo_id"] + ".renamed"
    crop = predictions.index[(predictions["variant"] == "crop") & (predictions["counted"] == "1")][0]
    predictions.loc[crop, "correct"] = "1" if predictions.loc[crop, "correct"] == "0" else "0"
    predictions.loc[crop, "predicted"] = f"{ODD} too"
    write_frame(manifest, folders[1] / "manifest.csv")
    write_frame(predictions, folders[1] / "predictions.csv")
    return folders


def test_photos_are_found_again_by_their_bytes(two):
    a, b = (report.look(folder) for folder in two)
    found = compare.runs(a, b)
    assert found.photos[0] > 0 and found.photos[1:] == (0, 0)
    assert found.species == ([], []) and found.tables == []
    [change] = found.changed.to_dict("records")
    assert change["variant"] == "crop" and change["photo_id"].endswith(".renamed")
    assert change["named_b"] == f"{ODD} too" and change["right_in"] in ("A", "B", "neither")
    rows = found.answers.set_index("variant")
    assert rows.loc["crop", "only_a"] + rows.loc["crop", "only_b"] == 1
    assert rows["n"].nunique() == 1
    assert (rows.drop("crop")[["only_a", "only_b"]] == 0).all(axis=None)


def test_what_one_run_has_alone_is_named(two):
    manifest = read_frame(two[1] / "manifest.csv")
    gone = manifest["species"] == "マサバ"
    write_frame(manifest[~gone], two[1] / "manifest.csv")
    (two[1] / "tables" / "table4.csv").unlink()
    said = CliRunner().invoke(cli.app, ["compare", *map(str, two)])
    assert said.exit_code == 0
    assert "Species in A alone: マサバ." in said.stdout
    assert "Tables that differ: table4.csv." in said.stdout
    assert f"{(gone & (manifest['status'] == 'ok')).sum()} in A alone, 0 in B alone." in said.stdout


def test_runs_without_answers_are_compared_as_far_as_they_go(two):
    for folder in two:
        (folder / "predictions.csv").unlink()
    found = compare.runs(*(report.look(folder) for folder in two))
    assert found.answers.empty and found.verdicts[0] == found.verdicts[1]
    assert "No photo was named in both runs" in compare.text(found)


def test_runs_that_share_no_photo_are_refused(two):
    manifest = read_frame(two[1] / "manifest.csv")
    manifest["sha256"] = [f"other {i}" for i in range(len(manifest))]
    write_frame(manifest, two[1] / "manifest.csv")
    with pytest.raises(UserError, match="share no photo"):
        compare.runs(*(report.look(folder) for folder in two))


def test_the_page_shows_every_change_and_no_name_as_html(two, tmp_path):
    page = tmp_path / "compared.html"
    said = CliRunner().invoke(cli.app, ["compare", *map(str, two), "--page", str(page)])
    assert said.exit_code == 0 and "Named otherwise: 1 in Crop." in said.stdout
    shown = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;odd" in shown and "<b>odd" not in shown
    assert "What changed from a (A) to b (B)" in shown and ".renamed" in shown
    assert str(tmp_path) not in shown
