import json
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from fishlib import made_with, opening, run
from fishlib import study as studies
from fishlib.errors import UserError
from fishlib.naming import checkpoints, classifier
from fishlib.opening import open_study, reopen
from fishlib.photos.manifest import curated, decisions_file
from fishlib.removal.segmenters import own
from fishlib.show import captions


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"photos": "nowhere/at/all"}, "is no folder"),
        ({"photos": None}, "--photos as well"),
        ({"masks": "nowhere"}, "is missing"),
        ({"masks": None, "method": "truth"}, "give them with --masks"),
        ({"method": "grabcutt"}, r"Unknown method 'grabcutt' \(did you mean grabcut\?\)"),
        ({"method": "imported"}, "Unknown method"),
        ({"device": "banana"}, "'banana' is not available"),
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


def test_relative_paths_start_at_the_current_folder(tiny_photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_photos)
    study = open_study(out=str(tmp_path / "run"), photos="photos", masks="masks")
    assert study.photos == tiny_photos / "photos" and study.masks == tiny_photos / "masks"
    monkeypatch.chdir(tmp_path)
    assert open_study(out="run").out == tmp_path / "run"


def test_later_notebooks_ask_for_the_first(tiny_study):
    with pytest.raises(UserError, match="run notebook 01 first"):
        curated(tiny_study)


def test_drawn_fish_are_called_drawn(tmp_path):
    study = open_study(out=str(tmp_path / "run"))
    assert study.drawn and "Drawn fish" in captions.banner(study) and captions.facts(study)["drawn"]


def test_the_zoo_names_drawn_fish_and_given_photos_only_when_asked(tiny_photos, tmp_path):
    photos = str(tiny_photos / "photos")
    assert open_study(out=str(tmp_path / "drawn")).classifier == "zoo"
    assert open_study(out=str(tmp_path / "given"), photos=photos).classifier is None
    assert open_study(out=str(tmp_path / "asked"), photos=photos, classifier="zoo").classifier == "zoo"
    assert open_study(out=str(tmp_path / "paper"), profile="paper").classifier is None


def test_a_classifier_of_ones_own_takes_the_zoos_place_in_figure_3(tmp_path):
    def pretrainings(run, **given):
        return checkpoints.pretrainings(open_study(out=str(tmp_path / run), **given))

    for name in ("mine", "imagenet"):
        safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    mine, other = str(tmp_path / "mine.safetensors"), str(tmp_path / "imagenet.safetensors")
    assert list(pretrainings("a")) == ["none", "imagenet", "specimen"]
    assert pretrainings("b", classifier=mine)["mine"] == mine
    assert list(pretrainings("b", classifier=mine)) == ["none", "imagenet", "mine"]
    assert list(pretrainings("c", classifier=other)) == ["none", "imagenet", "imagenet.safetensors"]


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


# --- what a run folder was made with
def given(tiny_photos, **changes):
    return {"photos": str(tiny_photos / "photos"), "masks": str(tiny_photos / "masks"), "method": "grabcut"} | changes


def test_a_run_says_what_it_was_made_with_and_names_nobody(tiny_photos, tiny_profile, tmp_path):
    opened = open_study(out=str(tmp_path / "run"), profile=str(tiny_profile), **given(tiny_photos))
    text = (opened.out / made_with.FILE).read_text(encoding="utf-8")
    said = json.loads(text)
    assert (said["photos"], said["masks"], said["method"]) == ("photos", "masks", "grabcut")
    assert said["profile"]["name"] == "tiny" and said["classifier"] is None
    assert str(tmp_path) not in text and str(tiny_photos) not in text


@pytest.mark.parametrize(
    ("change", "made", "asked"),
    [
        ({"method": "truth"}, "the method grabcut", "the method truth"),
        ({"masks": None}, "the true masks", "no true masks"),
        ({"profile": "demo"}, "the profile tiny (working_side 640)|the profile tiny (block 4)", "the profile demo"),
        ({"photos": None, "masks": None}, "the photos /", "the photos it draws"),
        ({"classifier": "zoo"}, "no classifier", "the classifier zoo"),
    ],
)
def test_another_configuration_is_refused_by_a_sentence_that_names_both(
    tiny_photos, tiny_profile, tmp_path, change, made, asked
):
    out = str(tmp_path / "run")
    first = given(tiny_photos, profile=str(tiny_profile))
    opening.start(out, **first)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with pytest.raises(UserError) as caught:
        opening.start(out, **(first | change))
    said = str(caught.value)
    assert "\n" not in said and asked in said and any(part.split(" (")[0] in said for part in made.split("|"))
    assert f"{tmp_path / 'run-'}" in said and "--overwrite" in said
    assert {path: path.read_bytes() for path in before} == before
    assert opening.start(out, **first).method == "grabcut"  # its own configuration goes on


def test_what_is_left_out_is_as_the_run_was_made(tiny_photos, tiny_profile, tmp_path):
    first = open_study(out=str(tmp_path / "run"), profile=str(tiny_profile), **given(tiny_photos))
    again = open_study(out=str(tmp_path / "run"))
    assert again == first
    with pytest.raises(UserError, match="the method truth"):
        open_study(out=str(tmp_path / "run"), method="truth")


def test_the_newest_run_is_not_overwritten_by_a_notebook_with_another_method(tiny_photos, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "REPOSITORY", tmp_path)
    made = open_study(out=str(tmp_path / "runs" / "demo"), **given(tiny_photos))
    (made.out / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"such as .*demo-truth"):
        open_study(method="truth")
    assert open_study(method="grabcut") == made


def test_a_classifier_is_known_by_its_content(tiny_photos, tmp_path):
    path, moved = tmp_path / "mine.safetensors", tmp_path / "moved.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    out = str(tmp_path / "run")
    opening.start(out, **given(tiny_photos, classifier=str(path)))
    path.rename(moved)
    opening.start(out, **given(tiny_photos, classifier=str(moved)))
    safetensors.torch.save_file({"x": torch.ones(1)}, moved)
    with pytest.raises(UserError, match="the classifier"):
        opening.start(out, **given(tiny_photos, classifier=str(moved)))


def test_photos_added_are_the_same_inputs(tiny_photos, tmp_path):
    photos = tmp_path / "photos"
    (photos / "trout").mkdir(parents=True)
    first = opening.start(str(tmp_path / "run"), photos=str(photos), method="grabcut")
    (photos / "trout" / "1.jpg").write_bytes(b"")
    assert opening.start(str(tmp_path / "run"), photos=str(photos), method="grabcut") == first


def test_overwrite_removes_what_the_old_configuration_left_and_no_answer_of_a_person(tiny_photos, tmp_path):
    study = opening.start(str(tmp_path / "run"), **given(tiny_photos))
    made = [
        "tables/table1.csv",
        "report/index.html",
        "notes/segments.json",
        "stages/scan.json",
        "run.json",
        "scores.csv",
    ]
    kept = ["cache/a/b.npz", "curation.csv", "reviews.csv", "own.txt"]
    for name in [*made, *kept]:
        (study.out / name).parent.mkdir(parents=True, exist_ok=True)
        (study.out / name).write_text("{}")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.png").write_text("mine")
    (study.out / "figures").symlink_to(tmp_path / "elsewhere")
    opening.start(str(tmp_path / "run"), **given(tiny_photos), overwrite=True)
    assert (study.out / "run.json").exists()  # the same inputs: nothing to replace
    other = opening.start(str(tmp_path / "run"), **given(tiny_photos, method="truth"), overwrite=True)
    assert not any((study.out / name).exists() for name in made)
    assert all((study.out / name).exists() for name in kept)
    assert not (study.out / "figures").exists() and (tmp_path / "elsewhere" / "mine.png").exists()
    assert other.method == "truth" and made_with.read(other.out).method == "truth"


def test_drawn_pictures_stay_only_where_they_would_be_drawn_again(tmp_path):
    profile = tmp_path / "p.yaml"
    profile.write_text("based_on: demo\n")
    drawn = opening.start(str(tmp_path / "run"), profile=str(profile)).photos
    drawn.mkdir(parents=True)
    profile.write_text("based_on: demo\ngood_iou: 0.9\n")
    opening.start(str(tmp_path / "run"), profile=str(profile), overwrite=True)
    assert drawn.exists()
    profile.write_text("based_on: demo\nseed: 1\n")
    opening.start(str(tmp_path / "run"), profile=str(profile), overwrite=True)
    assert not drawn.exists()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"profile": 3}', '{"profile": {"name": "x"}}', '{"profile": {}, "method": 1}']
)
def test_a_damaged_label_is_a_sentence_and_overwrite_writes_it_anew(tiny_photos, tmp_path, text):
    study = opening.start(str(tmp_path / "run"), **given(tiny_photos))
    (study.out / made_with.FILE).write_text(text)
    with pytest.raises(UserError, match=r"made_with\.json is damaged"):
        opening.start(str(tmp_path / "run"), **given(tiny_photos))
    assert opening.start(str(tmp_path / "run"), **given(tiny_photos), overwrite=True) == study
    assert made_with.read(study.out).method == "grabcut"


def test_a_run_from_before_the_label_is_known_by_its_run_json(tiny_photos, tmp_path):
    first = given(tiny_photos)
    (tmp_path / "run").mkdir()
    facts = {"parameters": first | {"profile": "demo", "out": "x"}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(UserError, match="the method truth"):
        open_study(out=str(tmp_path / "run"), method="truth")
    assert open_study(out=str(tmp_path / "run")).photos == tiny_photos / "photos"
    assert (tmp_path / "run" / made_with.FILE).is_file()


def test_a_run_that_came_without_its_private_file_is_known_by_names(tiny_photos, tiny_profile, tmp_path):
    first = given(tiny_photos, profile=str(tiny_profile))
    study = opening.start(str(tmp_path / "run"), **first)
    (study.out / made_with.PRIVATE).unlink()
    assert opening.start(str(tmp_path / "run"), **first) == study
    assert (study.out / made_with.PRIVATE).is_file()


def test_a_parameter_that_came_later_does_not_make_an_old_run_another(tiny_photos, tmp_path):
    study = opening.start(str(tmp_path / "run"), **given(tiny_photos))
    for name, change in (
        (made_with.FILE, lambda kept: kept["profile"].update(hash="of another version")),
        (made_with.PRIVATE, lambda kept: kept["profile"].pop("block")),
    ):
        kept = json.loads((study.out / name).read_text())
        change(kept)
        (study.out / name).write_text(json.dumps(kept))
    assert opening.start(str(tmp_path / "run"), **given(tiny_photos)) == study


def test_a_run_is_looked_at_without_its_photos_and_nothing_is_written(tiny_photos, tmp_path):
    study = opening.start(str(tmp_path / "run"), **given(tiny_photos))
    before = sorted(study.out.iterdir())
    seen = made_with.study_of(study.out)
    assert (seen.photos, seen.masks, seen.method) == (study.photos, study.masks, "grabcut")
    assert sorted(study.out.iterdir()) == before
    with pytest.raises(UserError, match=r"holds no run\.json"):
        made_with.study_of(tmp_path)


def test_reading_a_run_needs_neither_lock_nor_right_to_write(tiny_photos, tmp_path, monkeypatch):
    opening.start(str(tmp_path / "run"), **given(tiny_photos))
    monkeypatch.setattr(made_with.locks, "held", lambda *_, **__: pytest.fail("took the lock"))
    monkeypatch.setattr(made_with.writing, "write_text", lambda *_, **__: pytest.fail("wrote"))
    open_study(out=str(tmp_path / "run"))


# --- one writer, one list of photos
def test_a_stage_is_refused_while_another_process_writes(tiny_study, monkeypatch):
    hold = "import sys, time; from fishlib.files import locks\nwith locks.held(sys.argv[1], 'fishlib reproduce'):"
    hold += " print('in', flush=True); time.sleep(60)"
    monkeypatch.setattr(studies, "WAIT", 0.0)
    other = subprocess.Popen([sys.executable, "-c", hold, tiny_study.out], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(UserError, match=r"is being written by fishlib reproduce \(process"),
            studies.stage(tiny_study, "x"),
        ):
            pass
        with pytest.raises(UserError, match="fishlib reproduce"):
            studies.keep_notes(tiny_study, "segments", [])
    finally:
        other.kill()
        other.wait()
    with studies.stage(tiny_study, "x"):
        pass


def test_parts_of_an_older_list_of_photos_are_named(tiny_study):
    manifest = tiny_study.out / "manifest.csv"
    manifest.write_text("a")
    for part in ("segments", "inference", "sweep"):
        studies.keep_notes(tiny_study, part, [])
    assert studies.older_parts(tiny_study.out) == []
    manifest.write_text("b")
    studies.keep_notes(tiny_study, "inference", [])
    said = studies.older_parts(tiny_study.out)
    assert [sentence.split(" were")[0] for sentence in said] == ["Warning: Table 1", "Warning: Figure 3"]
    assert "--only 04" in said[1]


def test_a_users_mistake_is_one_sentence_in_a_notebook_too():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    seen = []
    shell._showtraceback = lambda kind, value, lines: seen.extend(lines)
    result = shell.run_cell("from fishlib.errors import NotRun\nraise NotRun('x.pth is missing; fetch it.')")
    assert seen == ["NotRun: x.pth is missing; fetch it."]
    assert result.error_in_exec is not None  # the cell has failed, papermill stops there


def test_a_method_of_ones_own_is_run_where_the_user_names_it_and_not_where_a_run_does(tiny_photos, tmp_path):
    file = tmp_path / "brightest.py"
    file.write_text("def fish(photo):\n    return photo[..., 0] > 200\n")
    said = f"{file}:fish"
    photos = str(tiny_photos / "photos")
    made = open_study(out=str(tmp_path / "run"), photos=photos, method=said)
    assert made.method == "brightest.fish"
    assert open_study(out=str(tmp_path / "run"), method=said) == made

    command = run.command(made, method=said)
    assert "--method brightest.py:fish" in command and str(tmp_path) not in command

    own.NAMED.clear()
    with pytest.raises(UserError, match=r"Unknown method 'brightest\.fish'"):
        open_study(out=str(tmp_path / "run"))
