"""How sure a run's names are, and `fishlib name`: new photos named as the study itself names them."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SPECIES
from typer.testing import CliRunner

from fishlib import cli, made_with
from fishlib.beyond import coverage, namer, new_photos, stage, sureness
from fishlib.errors import UserError
from fishlib.files.frames import read_frame
from fishlib.naming import classifier, inference
from fishlib.opening import open_study
from fishlib.photos.manifest import curated, scan_photos, write_manifest
from fishlib.removal import segmenting


@pytest.fixture(scope="module")
def run(tiny_photos, tiny_profile, tmp_path_factory):
    """(a run whose photos were named by heads, how sure it is)."""
    out = tmp_path_factory.mktemp("sure") / "run"
    given = {"profile": str(tiny_profile), "photos": str(tiny_photos / "photos"), "method": "grabcut", "device": "cpu"}
    study = open_study(out=str(out), **given)
    photos = scan_photos(study)
    write_manifest(study, photos)
    inference.run(study, photos, segmenting.run(study, "grabcut", photos))
    found, notes = stage.sure(study)
    assert notes == []
    return study, found


def test_each_half_is_for_one_thing(run):
    _, found = run
    assert found.photos.groupby("variant")["photo_id"].nunique().eq(found.photos["photo_id"].nunique()).all()
    halves = found.photos.groupby("photo_id")["half"].nunique()
    assert halves.eq(1).all() and set(found.photos["half"]) == {sureness.FITS, sureness.JUDGED}
    judged = found.photos[(found.photos["half"] == sureness.JUDGED) & (found.photos["variant"] == found.chosen)]
    [row] = found.inputs[found.inputs["chosen"] == 1].to_dict("records")
    assert row["n"] == len(judged) and row["percent"] == pytest.approx(100 * judged["correct"].mean())
    assert (found.promises["n"] == len(judged)).all()


def test_seven_photos_a_species_can_promise_nothing(run):
    _, found = run
    assert found.promises["check"].eq(100).all() and found.photos["check"].eq(1).all()


def test_on_originals_the_judged_half_has_the_answers_of_tables_2_to_4(run):
    study, found = run
    mine = found.photos[(found.photos["variant"] == "original") & (found.photos["half"] == sureness.JUDGED)]
    theirs = read_frame(study.out / "predictions.csv").query("variant == 'original'").set_index("photo_id")
    assert set(mine["photo_id"]) == set(theirs.index)
    assert mine["predicted"].tolist() == theirs.loc[mine["photo_id"], "predicted"].tolist()
    np.testing.assert_allclose(
        mine["unknown_score"], theirs.loc[mine["photo_id"], "unknown_score"].astype(float), atol=1e-3
    )


def test_a_second_time_nothing_is_learnt(run, monkeypatch):
    study, first = run
    monkeypatch.setattr("fishlib.naming.heads.left_out", None)
    again, _ = stage.sure(study)
    pd.testing.assert_frame_equal(again.photos, first.photos)


def table(out):
    return read_frame(out, new_photos.COLUMNS).set_index("path")


def ask(run, photos, out, *options):
    return CliRunner().invoke(cli.app, ["name", str(photos), "--out", str(out), "--run", str(run), *options])


@pytest.fixture
def named_in(run, tmp_path):
    """variant -> (the study's own answers about the half that its head did not learn from, those to the same photos as
    new ones)."""

    def name(variant):
        study, found = run
        photos = curated(study)
        cut = segmenting.run(study, study.method, photos)
        asked = sureness._head(study, photos, cut, None)
        settings = namer.Settings(variant, asked.species, "none", sureness._temperature(asked, variant), {}, 0.0)
        namer.keep(tmp_path, settings, asked.learnt[variant])
        settings, layer = namer.read(tmp_path)
        who = new_photos.Namer(made_with.study_of(study.out), settings, layer, 0.5, 0.0)
        new_photos.name([study.photos], tmp_path / "names.csv", who)
        own = found.photos[(found.photos["variant"] == variant) & (found.photos["half"] == sureness.JUDGED)]
        own = own.set_index("photo_id")
        return own, table(tmp_path / "names.csv").loc[own.index]

    return name


@pytest.mark.parametrize("variant", ["original", "crop_mask"])
def test_new_photos_are_named_as_the_study_names_its_own(named_in, variant):
    own, new = named_in(variant)
    assert new["name"].tolist() == own["predicted"].tolist()
    for column in ("confidence", "margin", "unknown_score"):
        np.testing.assert_allclose(new[column].astype(float), own[column], atol=2e-4)
    assert new["check_by_eye"].tolist() == ["no" if sure else "yes" for sure in own["confidence"] >= 0.5]
    shares = new[["confidence", "confidence_2", "confidence_3"]].astype(float)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=2e-4)


def test_a_classifier_names_photos_as_tables_2_to_4_do(run, tmp_path):
    study, _ = run
    model = classifier.load("none", study.profile.backbone, "cpu")
    model.classes = sorted(SPECIES)
    model.head = torch.randn(3, model.dim, generator=torch.Generator().manual_seed(0)), torch.zeros(3)
    file = tmp_path / "own.safetensors"
    classifier.save(model, file)
    asked = replace(study, classifier=str(file), out=tmp_path / "run")
    photos = curated(study)
    predictions, _ = inference.run(asked, photos, segmenting.run(asked, "grabcut", photos))
    theirs = predictions[predictions["variant"] == "original"].set_index("photo_id")

    profile = tmp_path / "small.json"
    profile.write_text(json.dumps(study.profile.model_dump() | {"based_on": "demo"}))
    who = new_photos.of_classifier(str(file), str(profile), None, True, "cpu")
    new_photos.name([study.photos], tmp_path / "names.csv", who)
    mine = table(tmp_path / "names.csv").loc[theirs.index]
    assert mine["name"].tolist() == theirs["predicted"].tolist()
    np.testing.assert_allclose(mine["confidence"].astype(float), theirs["confidence"], atol=2e-4)
    assert set(mine["check_by_eye"]) == {""} and set(mine["maybe_none"]) == {""}


def test_the_command_is_resumed_and_says_what_it_could_not_name(run, tmp_path, monkeypatch):
    study, _ = run
    photos = tmp_path / "new"
    source = sorted(study.photos.glob("*/[0-2].png"))
    for place, file in enumerate(source):
        (photos / f"day {place % 2}").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, photos / f"day {place % 2}" / f"{place}.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    (photos / "notes.txt").write_text("rain")
    out = tmp_path / "names.csv"

    said = ask(study.out, photos, out)
    assert said.exit_code == 1 and "1 of 10 could not be named" in said.stderr and "broken.jpg" in said.stderr
    first = table(out)
    assert len(first) == 10 and first.loc["broken.jpg", "status"] == "unreadable"
    assert "check all" in said.stdout and not list(tmp_path.glob(".names.csv.fishlib"))

    (photos / "broken.jpg").unlink()
    shutil.copyfile(source[0], photos / "again.png")  # of known content
    out.write_text("\n".join(line for line in out.read_text().splitlines() if "broken" not in line) + "\n")
    monkeypatch.setattr(classifier, "load", lambda *a, **k: pytest.fail("a photo was named again"))
    said = ask(study.out, photos, out)
    assert said.exit_code == 0, said.output
    second = table(out)
    assert second.drop("again.png").equals(first.drop("broken.jpg"))
    assert second.loc["again.png", "name"] == second.loc["day 0/0.png", "name"]


def test_a_killed_run_goes_on_with_what_its_stages_kept(run, tmp_path, monkeypatch):
    study, _ = run
    who = new_photos.of_run(study.out, 95, None, True, "cpu")
    out = tmp_path / "names.csv"
    with monkeypatch.context() as patched:
        patched.setattr(new_photos, "write_frame", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            new_photos.name([study.photos], out, who)
    assert not out.exists()
    monkeypatch.setattr(classifier, "load", lambda *a, **k: pytest.fail("a photo was named again"))
    new_photos.name([study.photos], out, who)
    assert out.is_file()


def test_a_table_of_others_is_left_alone(run, tmp_path):
    study, _ = run
    out = tmp_path / "names.csv"
    out.write_text("a,b\n1,2\n")
    said = CliRunner().invoke(cli.app, ["name", str(study.photos), "--out", str(out), "--run", str(study.out)])
    assert isinstance(said.exception, UserError) and "not made by fishlib name" in str(said.exception)
    assert out.read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "Give one of|Who names"),
        (["--run", "nowhere"], "no finished run"),
        (["--classifier", "nowhere.pth"], "missing"),
    ],
)
def test_who_names_is_one_sentence(tmp_path, options, says):
    said = CliRunner().invoke(cli.app, ["name", str(tmp_path), "--out", str(tmp_path / "n.csv"), *options])
    assert isinstance(said.exception, UserError)
    assert re.search(says, str(said.exception)) and "\n" not in str(said.exception)


def test_a_promise_that_was_not_measured_is_refused(run):
    study, _ = run
    with pytest.raises(UserError, match="choose 95, 99"):
        new_photos.of_run(study.out, 90, None, True, "cpu")


@pytest.mark.parametrize("text", ["{}", "[]", '{"variant": 3}', "nothing"])
def test_a_damaged_namer_is_one_sentence(run, tmp_path, text):
    (tmp_path / "beyond").mkdir()
    (tmp_path / namer.FILE).write_text(text)
    with pytest.raises(UserError, match=r"namer\.json"):
        namer.read(tmp_path)


def test_only_what_new_photos_can_be_brought_into_is_chosen(run):
    study, found = run
    rows = {variant: mine.assign(correct=int(variant == "crop")) for variant, mine in found.photos.groupby("variant")}
    rows = {name: rows[name] for name in ("original", "crop", "mask", "crop_mask")}
    assert sureness._choose(study, rows)[0] == "crop"
    chosen, why = sureness._choose(replace(study, method="truth"), rows)
    assert chosen == "original" and "truth" in why


def test_promises_are_those_of_the_profile_of_the_command():
    assert coverage.PROMISES == (95, 99)


def test_two_photos_a_species_are_too_few_for_two_halves(tiny_study):
    """A head of one photo a species cannot be asked about that photo, so that no half is left to choose."""
    every = scan_photos(tiny_study)
    photos = every[every["species"].isin([*SPECIES][:2])].groupby("species").head(2).reset_index(drop=True)
    found = segmenting.run(tiny_study, "truth", photos)
    with pytest.raises(UserError, match="too few for a half that chooses"):
        sureness.run(replace(tiny_study, classifier=None), photos, found)
