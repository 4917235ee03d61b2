"""The verdict of a run folder, from the tables that lie in it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ODD
from typer.testing import CliRunner

from fishlib import cli
from fishlib.beyond import companions, cutters, evidence, halves, stage, verdict
from fishlib.errors import UserError
from fishlib.files.frames import read_frame, write_frame
from fishlib.naming import inference
from fishlib.photos.manifest import curated
from fishlib.removal import segmenting
from fishlib.scores import contrasts
from fishlib.show import luck, report

FIGURE3 = [  # as it is, and without the companions of drawn photos: one photo of the run is another's double
    "tables/figure3.csv",
    "tables/figure3_paired.csv",
    "beyond/figure3_apart.csv",
    "beyond/figure3_apart_paired.csv",
]


@pytest.fixture
def copy(done, tmp_path):
    """A copy of the finished run, to be changed."""
    out, _ = done
    return shutil.copytree(out, tmp_path / "run", ignore=shutil.ignore_patterns("report"))


def knows_species(study):
    """The same run as if the zoo's classifier had named its fish."""
    return study.__class__(**{**study.__dict__, "classifier": "zoo"})


def test_what_heads_on_originals_lose_is_told_and_is_not_the_answer(copy):
    found = evidence.of(report.look(copy))
    assert found.notes == []
    [about] = [s for s in found.verdict.rests_on if s.startswith("A model that learnt from originals alone")]
    halves = pd.read_csv(copy / "beyond" / "halves.csv").query("family == 'table 2' and learnt_from == 'originals'")
    assert f"{abs(halves['difference'].min()):.1f} points" in about


def test_a_classifier_that_knows_the_species_answers_without_training(copy):
    study = knows_species(report.look(copy))
    found = evidence.of(study)
    assert found.verdict.answer.startswith("Without further training, ")
    predictions = read_frame(copy / "predictions.csv")
    assert found.verdict.n == predictions["photo_id"][predictions["counted"] == "1"].nunique()


def test_contrasts_are_those_of_the_predictions(copy):
    found = evidence.of(report.look(copy))
    predictions = pd.read_csv(copy / "predictions.csv")
    by_hand = contrasts.from_predictions(predictions)["table 2"]
    mine = found.contrasts[found.contrasts["family"] == "table 2"]
    assert mine["p_value"].tolist() == by_hand["p_value"].tolist()
    right = predictions[predictions["variant"] == "crop"]["correct"].sum()
    assert found.shares.set_index("variant").loc["crop", "n_correct"] == right


def test_photos_that_were_not_judged_do_not_count(copy):
    study = report.look(copy)
    before = evidence.of(study).shares["n"].iloc[0]
    rows = read_frame(copy / "predictions.csv")
    first = rows["photo_id"] == rows["photo_id"].iloc[0]
    rows.loc[first, ["predicted", "correct", "counted"]] = ["", "", "0"]
    write_frame(rows, copy / "predictions.csv")
    assert evidence.of(study).shares["n"].tolist() == [before - 1] * len(evidence.of(study).shares)


@pytest.mark.parametrize(("gone", "left"), [("predictions.csv", "figure3"), ("tables/figure3_paired.csv", "contrasts")])
def test_what_is_not_there_is_left_out_and_named(copy, gone, left):
    (copy / gone).unlink()
    found = evidence.of(knows_species(report.look(copy)))
    assert found.notes == [f"{gone} is not there; what it would hold is left out."]
    assert found.verdict is not None and len(getattr(found, left))


def test_a_run_that_named_no_photo_has_no_answer(copy):
    for name in ("predictions.csv", *FIGURE3, "beyond/halves.csv"):
        (copy / name).unlink()
    found = evidence.of(report.look(copy))
    assert found.verdict is None and found.notes[-1] == evidence.NOTHING_ASKED
    said = CliRunner().invoke(cli.app, ["advise", str(copy)])
    assert said.exit_code == 1 and evidence.NOTHING_ASKED in said.output


def test_a_damaged_table_is_a_sentence(copy):
    (copy / "tables" / "figure3_paired.csv").write_text("pretraining,variant,k,n,mean,lo,hi\nnone,crop,two,2,x,1,2\n")
    with pytest.raises(UserError, match="text where numbers belong"):
        evidence.of(report.look(copy))


def test_groups_change_what_is_counted(copy):
    study = knows_species(report.look(copy))
    ids = curated(study).query("status == 'ok'")["photo_id"].tolist()
    groups = pd.DataFrame({"photo_id": ids, "group": [f"trip {i // 2}" for i in range(len(ids))]})
    write_frame(groups, copy / "groups.csv")
    found, notes = companions.find(study, curated(study))
    assert notes == [] or "share its group" in notes[0]
    assert companions.read(study).to_dict() == found.to_dict()
    told = evidence.of(study)
    assert told.contrasts["n_groups"].notna().all()
    assert told.shares["lo"].isna().all()
    assert "groups" in " ".join([told.verdict.answer, *told.verdict.rests_on])


def test_photos_that_came_after_the_look_are_groups_of_their_own():
    kept = pd.Series(["t", "t", "u"], index=["a", "b", "c"])
    assert companions.of(kept, ["d", "b", "a"]).to_dict() == {"d": "d", "b": "t", "a": "t"}
    assert companions.of(kept, ["a", "c", "d"]) is None
    assert companions.of(None, ["a"]) is None


def test_groups_that_are_taken_back_are_forgotten(copy):
    study = report.look(copy)
    manifest = curated(study)
    manifest["sha256"] = [f"{i}" for i in range(len(manifest))]
    study = study.__class__(**{**study.__dict__, "photos": copy / "gone"})  # nothing to look at: no look-alikes
    ids = manifest.query("status == 'ok'")["photo_id"].tolist()
    by_turns = ["a" if place % 2 else "b" for place in range(len(ids))]
    write_frame(pd.DataFrame({"photo_id": ids, "group": by_turns}), copy / "groups.csv")
    assert companions.find(study, manifest)[0].nunique() == 2
    (copy / "groups.csv").unlink()
    assert companions.find(study, manifest) == (None, [])
    assert companions.read(study) is None


def test_a_second_look_at_the_photos_computes_nothing(copy):
    study = report.look(copy)
    first = companions.find(study, curated(study))
    (copy / "stages" / "look-alikes.json").unlink()
    again = companions.find(study, curated(study))
    assert (first[0] is None) == (again[0] is None)
    record = json.loads((copy / "stages" / "look-alikes.json").read_text())
    assert record["computed"] == 0 and record["reused"] > 0


def test_a_model_that_learnt_from_these_photos_is_named(copy, monkeypatch):
    study = study_with_file(copy)
    hashes = curated(study)["sha256"].tolist()
    monkeypatch.setattr(evidence.checkpoints, "existing", lambda source: source)
    monkeypatch.setattr(evidence.checkpoints, "told", lambda path: {"training_hashes": hashes[:1]})
    assert evidence._seen(study) == "had"
    monkeypatch.setattr(evidence.checkpoints, "told", lambda path: {"training_hashes": ["another"]})
    assert evidence._seen(study) == ""
    monkeypatch.setattr(evidence.checkpoints, "told", lambda path: {})
    assert evidence._seen(study) == "may"


def study_with_file(out):
    study = report.look(out)
    return study.__class__(**{**study.__dict__, "classifier": "fish.safetensors"})


def test_what_nobody_checked_is_named(copy):
    study = report.look(copy)
    without_truth = study.__class__(**{**study.__dict__, "masks": None})
    assert evidence._unchecked(without_truth) == ("the cut-outs", "the photos")
    photo = curated(study)["photo_id"].iloc[0]
    verdict_row = {"photo_id": photo, "method": study.method, "reviewer": "A", "verdict": "good"}
    write_frame(pd.DataFrame([verdict_row]), copy / "reviews.csv")
    write_frame(pd.DataFrame([{"photo_id": photo, "one_whole_fish": "yes", "note": ""}]), copy / "curation.csv")
    assert evidence._unchecked(without_truth) == ()


def test_advise_says_the_verdict_and_the_report_begins_with_it(done):
    out, _ = done
    answer = evidence.of(report.look(out)).verdict
    said = CliRunner().invoke(cli.app, ["advise", str(out)])
    assert said.exit_code == 0 and said.stdout == verdict.text(answer)
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert 0 < page.index('class="verdict"') < page.index("In short")


def test_advise_of_no_run_is_a_sentence(tmp_path):
    said = CliRunner().invoke(cli.app, ["advise", str(tmp_path)])
    assert isinstance(said.exception, UserError) and "no finished run" in str(said.exception)


def test_names_in_a_verdict_are_text():
    given = verdict.Verdict("q", "k", f"named by {ODD}", "mask", 0.0, None, 1, (), ("<img src=x>",))
    shown = luck.answer(given)
    assert "<b>odd" not in shown and "&lt;img" in shown
    assert luck.answer(None) == ""


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("original", "Original"),
        ("crop_mask", "Crop & Mask"),
        ("crop_mask_red", "Crop & Mask on red"),
        ("crop_mask_d15", "Crop & Mask, dilated 15 times"),
        ("crop_mask_dodgerblue", "Crop & Mask on dodgerblue"),
        ("gdino_sam", "gdino_sam"),
    ],
)
def test_inputs_are_shown_in_words(variant, words):
    assert luck.input_label(variant) == words


def test_tables_that_people_read():
    assert luck.of_the_paper().set_index(["family", "input"]).loc[("table 2", "Crop")].to_dict() == {
        "against": "Original",
        "right": "445 against 440 of 601",
        "points": "+0.8",
        "disagree at least": "41 photos",
        "p": "1.000 to 1.000",
        "can it be luck?": "could be luck",
    }
    empty = pd.DataFrame(columns=contrasts.COLUMNS)
    assert luck.contrasts(empty).empty and luck.shares(pd.DataFrame()).empty


def test_where_no_classifier_knows_the_species_the_fair_half_splits_answer(copy):
    found = evidence.of(report.look(copy))
    assert found.verdict.answer.startswith("With half of the photos of each species to learn from, ")
    fair = pd.read_csv(copy / "beyond" / "halves.csv").query("family == 'table 2' and learnt_from == 'the same input'")
    assert fair["difference"].abs().max() == pytest.approx(abs(found.verdict.effect))


def test_without_half_splits_the_shots_answer(copy):
    (copy / "beyond" / "halves.csv").unlink()
    found = evidence.of(report.look(copy))
    assert found.verdict.answer.startswith("With 2 photos of each species to learn from, ")
    paired = pd.read_csv(copy / "tables" / "figure3_paired.csv")
    assert found.verdict.effect in paired[paired["k"] == 2]["mean"].tolist()


def test_advise_says_which_pictures_to_learn_from(copy):
    said = CliRunner().invoke(cli.app, ["advise", str(copy), "--shots", "2"])
    assert said.exit_code == 0 and "with 2 photos of each species?" in said.stdout
    assert "Original" in said.stdout
    said = CliRunner().invoke(cli.app, ["advise", str(copy), "--shots", "9"])
    assert isinstance(said.exception, UserError) and "K is one of 1, 2" in str(said.exception)


def test_a_run_that_is_not_whole_is_answered_as_far_as_it_goes(copy):
    for name in (*FIGURE3, "beyond/choices.csv"):
        (copy / name).unlink()
    found = stage.run(report.look(copy))
    assert "share its group" in found.notes[0] and "cannot halve it" in found.notes[1]
    assert [note.split(" is not there")[0] for note in found.notes[2:]] == [
        "tables/figure3_paired.csv",
        "tables/figure3.csv",
    ]
    assert found.verdict is not None and found.choices == {}


def test_groups_stand_beside_photos_alone(copy):
    study = report.look(copy)
    ids = curated(study).query("status == 'ok'")["photo_id"].tolist()
    write_frame(pd.DataFrame({"photo_id": ids, "group": [f"{i // 2}" for i in range(len(ids))]}), copy / "groups.csv")
    found = stage.run(study)
    table = luck.beside(found)
    assert len(table) == len(found.contrasts) + len(found.figure3) > len(found.contrasts)
    sentence = "What shares a group with a photo that a model learnt from was not judged by it."
    assert sentence in found.verdict.rests_on
    (copy / "beyond" / "groups.csv").unlink()
    assert luck.beside(evidence.of(study)).empty


def test_every_rivals_masks_have_a_sign(copy):
    """By the heads that answered: the rival's masks through the same half-splits as the study's own."""
    study = report.look(copy)
    told = evidence.of(study).verdict.variant
    kept = read_frame(copy / cutters.KEPT, cutters.COLUMNS)
    assert kept["cutter"].tolist() == ["GDINO-SAM (stand-in)"] and kept["variant"].tolist() == [told]

    photos = curated(study)
    rival = replace(study, method="gdino-sam")
    found = segmenting.run(rival, "gdino-sam", photos)
    _, shares, _ = halves.run(rival, photos, found, companions.of(companions.read(study), photos["photo_id"]))
    right = shares[shares["learnt_from"] == halves.SAME].set_index("variant")["micro_f1"]
    assert float(kept["difference"][0]) == pytest.approx(right[told] - right["original"], abs=1e-9)

    [said] = [sentence for sentence in evidence.of(study).verdict.rests_on if sentence.startswith("The sign is")]
    assert "named by a linear head on" in said and "with GDINO-SAM (stand-in)" in said


def test_a_classifiers_sign_with_a_rivals_masks(tiny_study, monkeypatch):
    """Of four photos the rival's masks cost one that was right, and win none."""
    ids = [f"cod/{i}.jpg" for i in range(4)]
    photos = pd.DataFrame({"photo_id": ids, "species": "cod"})
    asked_about = []

    def ask(study, photos, found, wanted):
        asked_about.append(study.method)
        cod, ling = [1.0, 0.0], [0.0, 1.0]
        logits = {"original": np.array([cod, cod, cod, ling]), "mask": np.array([cod, cod, ling, ling])}
        return inference.Answers(photos, ["cod", "ling"], logits, [])

    monkeypatch.setattr(cutters.segmenting, "run", lambda study, method, manifest: None)
    monkeypatch.setattr(cutters.features, "usable", lambda manifest, found: (photos, {}))
    monkeypatch.setattr(cutters.inference, "ask", ask)
    study = replace(tiny_study, method="grabcut", classifier="zoo")
    for method in ("gdino-sam", "grabcut"):
        folder = study.out / "segments" / method
        folder.mkdir(parents=True)
        (folder / "index.csv").touch()

    frame, notes = cutters.run(study, photos, "mask")
    assert asked_about == ["gdino-sam"] and notes == []
    assert frame.to_dict("records") == [
        {"cutter": "GDINO-SAM (stand-in)", "variant": "mask", "n": 4, "difference": -25.0}
    ]
    assert cutters.read(study, "mask") == [("GDINO-SAM (stand-in)", -25.0)]
    assert cutters.read(study, "crop") == []
