import json

import pytest

from fishlib import study as studies
from fishlib.errors import UserError
from fishlib.naming import checkpoints, classifier
from fishlib.opening import open_study, reopen
from fishlib.photos.manifest import curated, decisions_file
from fishlib.show import captions


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"photos": "nowhere/at/all"}, "is no folder"),
        ({"photos": None}, "--photos as well"),
        ({"masks": "nowhere"}, "is missing"),
        ({"masks": None, "method": "truth"}, "give them with --masks"),
        ({"profile": "nowhere.yaml"}, "neither one of"),
        ({"classifier": "nowhere.safetensors"}, "nowhere.safetensors is missing"),
    ],
)
def test_wrong_inputs_are_one_sentence(tiny_photos, tmp_path, change, says):
    given = {
        "out": str(tmp_path / "run"),
        "photos": str(tiny_photos / "photos"),
        "masks": str(tiny_photos / "masks"),
    }
    with pytest.raises(UserError, match=says) as caught:
        open_study(**(given | change))
    assert "\n" not in str(caught.value)


def test_an_output_folder_that_cannot_be_made_is_named(tiny_photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        open_study(out=str(tmp_path / "file" / "run"), photos=str(tiny_photos / "photos"))


def test_a_run_inside_the_photos_is_refused(tiny_photos):
    with pytest.raises(UserError, match="inside the photos"):
        open_study(out=str(tiny_photos / "photos" / "run"), photos=str(tiny_photos / "photos"))


def test_later_notebooks_ask_for_the_first(tiny_study):
    with pytest.raises(UserError, match="run notebook 01 first"):
        curated(tiny_study)


def test_drawn_fish_are_called_drawn(tmp_path):
    study = open_study(out=str(tmp_path / "run"))
    assert study.drawn and "Drawn fish" in captions.banner(study) and captions.facts(study)["drawn"]


def test_the_zoo_names_drawn_fish_and_given_photos_only_when_asked(tiny_photos, tmp_path):
    given = {"out": str(tmp_path / "run"), "photos": str(tiny_photos / "photos")}
    assert open_study(out=given["out"]).classifier == "zoo"
    assert open_study(**given).classifier is None
    assert open_study(**given, classifier="zoo").classifier == "zoo"
    assert open_study(out=given["out"], profile="paper").classifier is None


def test_a_classifier_of_ones_own_takes_the_zoos_place_in_figure_3(tmp_path):
    for name in ("mine", "imagenet"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    out, mine = str(tmp_path / "run"), str(tmp_path / "mine.safetensors")
    assert list(checkpoints.pretrainings(open_study(out=out))) == ["none", "imagenet", "specimen"]
    assert checkpoints.pretrainings(open_study(out=out, classifier=mine))["mine"] == mine
    assert list(checkpoints.pretrainings(open_study(out=out, classifier=mine))) == ["none", "imagenet", "mine"]
    other = open_study(out=out, classifier=str(tmp_path / "imagenet.safetensors"))
    assert list(checkpoints.pretrainings(other)) == ["none", "imagenet", "imagenet.safetensors"]


def test_stages_add_up_within_a_run(tiny_study):
    for n in (2, 3):
        with studies.stage(tiny_study, "cut") as record:
            record["computed"] += n
    kept = json.loads((tiny_study.out / "stages" / "cut.json").read_text())
    assert kept["computed"] == 5 and kept["seconds"] >= 0


def test_the_runs_own_decisions_come_before_those_beside_the_photos(tiny_study):
    assert decisions_file(tiny_study) == tiny_study.photos / "curation.csv"
    (tiny_study.out / "curation.csv").write_text("photo_id,one_whole_fish\n")
    assert decisions_file(tiny_study) == tiny_study.out / "curation.csv"


@pytest.mark.parametrize("text", ["{", "[]", '{"parameters": 3}', '{"profile": {}}'])
def test_a_damaged_run_is_one_sentence(tmp_path, text):
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        reopen(tmp_path)


def test_what_another_version_kept_in_a_run_is_left_out(tmp_path):
    (tmp_path / "run.json").write_text('{"parameters": {"method": "grabcut", "speed": 3}}', encoding="utf-8")
    assert reopen(tmp_path).method == "grabcut"


def test_figure_3_names_the_network_of_ones_own_checkpoint(tmp_path):
    own = tmp_path / "own.safetensors"
    classifier.save(classifier.load("none", "test_efficientnet", "cpu"), own)
    opened = open_study(out=str(tmp_path / "run"), classifier=str(own))
    named = captions.trained(opened)["classifier"]
    assert "test_efficientnet" in named and opened.profile.backbone in named
