import errno
import json
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from fishlib.errors import UserError
from fishlib.naming import classifier, features, inference, sweep
from fishlib.photos import decode, masks
from fishlib.photos.composite import BACKGROUNDS, BASIC, CROP, MASK, ORIGINAL, variants_of_tables
from fishlib.photos.draws import draw_shots
from fishlib.photos.manifest import scan_photos, write_manifest
from fishlib.removal import segmenting
from fishlib.show import captions, tables, views


@pytest.fixture
def ready(tiny_study):
    """(study, counted photos, true masks)."""
    manifest = scan_photos(tiny_study)
    found = segmenting.run(tiny_study, "truth", manifest)
    write_manifest(tiny_study, manifest)
    return tiny_study, manifest, found


def test_features_keep_the_order_of_the_photos(ready):
    tiny, manifest, found = ready
    values = features.compute(tiny, manifest, found, [ORIGINAL, MASK], "none")
    model = classifier.load("none", tiny.profile.backbone, "cpu", tiny.profile.seed)
    last = manifest.iloc[-1]
    row = found.set_index("photo_id").loc[last.photo_id]
    for variant in (ORIGINAL, MASK):
        alone = classifier.features(model, features.picture(tiny, last, row, [variant])[variant][None])
        assert values[variant.name].shape == (len(manifest), model.dim)
        assert values[variant.name][-1] == pytest.approx(alone[0], abs=1e-4)
    assert not np.allclose(values["original"], values["mask"])


def test_a_second_call_runs_no_network_and_gives_the_same_bytes(ready, monkeypatch):
    tiny, manifest, found = ready
    first = features.compute(tiny, manifest, found, list(BASIC.values()), "none")
    monkeypatch.setattr(classifier, "load", lambda *a, **k: pytest.fail("the network was loaded again"))
    second = features.compute(tiny, manifest, found, list(BASIC.values()), "none")
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_a_killed_run_repeats_no_finished_block(ready, monkeypatch):
    tiny, manifest, found = ready
    seen, real = [], classifier.features

    def dies_in_the_third_block(model, pictures):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(pictures))
        return real(model, pictures)

    monkeypatch.setattr(classifier, "features", dies_in_the_third_block)
    with pytest.raises(KeyboardInterrupt):
        features.compute(tiny, manifest, found, [CROP], "none")
    rest = []
    monkeypatch.setattr(classifier, "features", lambda m, p: rest.append(len(p)) or real(m, p))
    resumed = features.compute(tiny, manifest, found, [CROP], "none")
    assert sum(seen) + sum(rest) == len(manifest)
    shutil.rmtree(tiny.cache / "features")
    assert features.compute(tiny, manifest, found, [CROP], "none")["crop"].tobytes() == resumed["crop"].tobytes()


def test_the_original_is_shared_by_all_methods_but_masks_are_not(ready):
    tiny, manifest, found = ready
    features.compute(tiny, manifest, found, [ORIGINAL, MASK], "none")
    before = len(list((tiny.cache / "features").rglob("*.npz")))
    undetected = found.assign(mask_file="", x0=np.nan)
    features.compute(tiny, manifest, undetected, [ORIGINAL, MASK], "none")
    assert len(list((tiny.cache / "features").rglob("*.npz"))) == before + before // 2


def test_predictions_have_one_row_a_photo_and_variant(ready):
    tiny, manifest, found = ready
    predictions, notes = inference.run(tiny, manifest, found)
    assert predictions.groupby("variant").photo_id.nunique().eq(12).all()  # 7 a species: 3 train, 4 are judged
    assert set(predictions.variant) == {*BASIC, "crop_mask_red", "crop_mask_d1"}
    assert (predictions.correct == (predictions.predicted == predictions.species)).all()
    assert "half of each species" in notes[0]
    assert predictions.margin.between(0, 1).all() and predictions.unknown_score.notna().all()
    top5 = json.loads(predictions.top5[0])
    assert top5[0][0] == predictions.predicted[0] and len(top5) == 3
    assert (tiny.out / "predictions.csv").is_file()


@pytest.fixture
def own(ready):
    """A study with a classifier of the three species and another, trained on two of the photos."""
    tiny, manifest, found = ready
    model = classifier.load("none", tiny.profile.backbone, "cpu")
    model.classes = ["no such fish", *sorted(manifest.species.unique())]
    model.head = torch.randn(4, model.dim, generator=torch.Generator().manual_seed(0)), torch.tensor([1e6, 0, 0, 0])
    model.training_hashes = set(manifest.sha256[:2])
    classifier.save(model, tiny.out / "own.safetensors")
    return replace(tiny, classifier=str(tiny.out / "own.safetensors")), manifest, found


def test_a_classifier_is_asked_about_the_species_alone_and_its_training_photos_are_named(own):
    study, manifest, found = own
    predictions, notes = inference.run(study, manifest, found)
    assert predictions.groupby("variant").photo_id.nunique().eq(21).all()  # nothing is trained: every photo counts
    assert set(predictions.predicted) <= set(manifest.species)
    assert "best of 3 among its 4 species" in notes[0]
    warning = next(note for note in notes if note.startswith("Warning"))
    assert "own.safetensors" in warning and "2 of these 21 photos" in warning and manifest.photo_id[1] in warning
    html = views.publish(study, 2, tables.table2(predictions), notes)
    assert "Warning: mobilenetv3_small_050 (own.safetensors) was trained on 2 of these 21 photos" in html
    assert "Classifier: mobilenetv3_small_050 (own.safetensors)." in html


def test_what_was_left_out_of_a_checkpoint_is_told_in_every_run(own):
    study, manifest, found = own
    model = classifier.load(study.classifier, device="cpu")
    key = model.model.pretrained_cfg["classifier"]
    state = model.model.state_dict() | {f"{key}.weight": model.head[0], f"{key}.bias": model.head[1]}
    file = study.out / "averaged.pth"
    torch.save({f"module.{name}": value for name, value in state.items()} | {"n_averaged": torch.tensor(2)}, file)
    (study.out / "averaged.classes.json").write_text(json.dumps(model.classes), encoding="utf-8")
    study = replace(study, classifier=str(file))
    for _ in range(2):  # the second time nothing is loaded
        assert any("no part of the network: n_averaged" in note for note in inference.run(study, manifest, found)[1])


def test_a_classifier_is_a_colour_of_figure_3_and_its_training_photos_are_named(own):
    frame, _, notes = sweep.run(*own)
    assert set(frame.pretraining) == {"none", "own"}
    assert [note.split()[0] for note in notes] == ["Warning:"]


def test_a_classifier_without_a_species_says_which(own):
    study, manifest, found = own
    manifest.loc[0, "species"] = "Gadus_morhua"
    with pytest.raises(UserError, match="Gadus_morhua"):
        inference.run(study, manifest, found)


def test_remarks_are_text():
    assert views.remarks(["<b>odd & name", "next"]) == "- &lt;b&gt;odd &amp; name\n- next"
    assert views.remarks(["![x](http://x) a_b\n# c"]) == r"- !\[x\](http://x) a\_b # c"
    assert views.remarks(["# a", "12. b", "- c"]) == "- \\# a\n- 12\\. b\n- \\- c"


def test_a_figure_leaves_out_and_names_what_is_too_small(ready):
    _, manifest, _ = ready
    few = manifest[~((manifest.species == "マサバ") & (manifest.photo_id.str[-5] > "1"))]
    photos, shots, notes = sweep.usable(few, [1, 2, 3])
    assert shots == [1, 2, 3] and "マサバ" not in set(photos.species)
    assert "マサバ (2)" in notes[0]
    photos, shots, notes = sweep.usable(manifest, [5, 6, 7])
    assert shots == [5, 6] and "K = 7" in notes[0] and photos.species.nunique() == 3
    photos, shots, notes = sweep.usable(manifest, [9])
    assert shots == [] and len(photos) == 0 and "No K" in notes[-1]


def test_the_sweep_has_every_draw_and_keeps_the_drawn_ids(ready, monkeypatch):
    tiny, manifest, found = ready
    frame, differences, notes = sweep.run(tiny, manifest, found)
    assert len(frame) == 1 * 4 * 2 * 2 and notes == []  # one pre-training, four variants, K = 1 and 2, two draws
    wide = frame.pivot(index=["k", "trial"], columns="variant", values="micro_f1")
    for row in differences.itertuples():
        assert row.mean == pytest.approx((wide[row.variant] - wide["original"])[row.k].mean())
        assert row.lo <= row.mean <= row.hi and row.n == 2
    assert len(differences) == 1 * 3 * 2
    assert (frame.n_test == 21 - 3 * frame.k).all()
    assert (frame.micro_f1 == 100 * frame.n_correct / frame.n_test).all()
    draws = json.loads((tiny.out / "draws.json").read_text(encoding="utf-8"))
    assert draws[0]["photo_ids"] == draw_shots(manifest, 1, 0, 0) and len(draws) == 4
    table = (tiny.out / "tables" / "figure3.csv").read_bytes()
    from fishlib.naming import transfer

    monkeypatch.setattr(transfer, "train_heads", lambda *a, **k: pytest.fail("heads were trained again"))
    assert sweep.run(tiny, manifest, found)[1].equals(differences)
    assert (tiny.out / "tables" / "figure3.csv").read_bytes() == table


def test_a_folder_of_single_photos_cannot_be_compared(ready):
    tiny, manifest, found = ready
    one_each = manifest.groupby("species").head(1)
    with pytest.raises(UserError, match="fewer than two species"):
        inference.run(tiny, one_each, found)


def test_two_workers_give_the_same_bytes_as_one(ready):
    tiny, manifest, found = ready
    answers = []
    for workers in (1, 2, 5):
        answers.append(features.compute(tiny, manifest, found, list(BASIC.values()), "none", workers))
        shutil.rmtree(tiny.cache / "features")
    for name, values in answers[0].items():
        assert values.tobytes() == answers[1][name].tobytes() == answers[2][name].tobytes()


def test_the_stage_leaves_torchs_threads_as_they_were(ready):
    import torch

    tiny, manifest, found = ready
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        features.compute(tiny, manifest, found, [ORIGINAL], "none")
        seen.append(torch.get_num_threads())
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(before)
    assert seen == [3, 3]


def test_a_photo_and_its_mask_are_read_once_for_all_17_variants(ready, monkeypatch):
    tiny, manifest, found = ready
    calls, read, read_mask = [], decode.read, masks.read_mask
    monkeypatch.setattr(decode, "read", lambda path, *a, **k: calls.append(path) or read(path, *a, **k))
    monkeypatch.setattr(masks, "read_mask", lambda path: calls.append(f"mask {path}") or read_mask(path))
    variants = variants_of_tables(list(BACKGROUNDS), [0, 1, 2, 3, 4, 5, 7, 10, 12, 15])
    values = features.compute(tiny, manifest, found, variants, "none")
    assert len(variants) == len(values) == 17
    assert len(calls) == len(set(calls)) == 2 * len(manifest)


@pytest.fixture
def movable(ready, tmp_path):
    """A study whose photos may be changed: (study, manifest, masks, path of the first photo)."""
    tiny, manifest, found = ready
    shutil.copytree(tiny.photos, tmp_path / "photos")
    return replace(tiny, photos=tmp_path / "photos"), manifest, found, tmp_path / "photos" / manifest.path[0]


def changed(file):
    file.write_bytes(file.with_name("1.png").read_bytes())


ACCIDENTS = {"changed": changed, "gone": lambda file: file.unlink(), "damaged": lambda file: file.write_bytes(b"x")}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_photo_that_changed_since_the_scan_is_a_row_and_nothing_wrong_is_kept(movable, accident):
    study, manifest, found, file = movable
    whole = file.read_bytes()
    ACCIDENTS[accident](file)
    predictions, notes = inference.run(study, manifest, found)
    rows = predictions[predictions.photo_id == manifest.photo_id[0]]
    assert len(rows) == predictions.variant.nunique()
    assert set(rows.status) == {"unreadable"} and not rows.counted.any() and rows.correct.isna().all()
    assert set(rows.predicted) == {""} and set(rows.top5) == {"[]"}
    [note] = [note for note in notes if "changed after the scan: 1 " in note]
    assert manifest.photo_id[0] in note
    assert manifest.photo_id[0] not in set(tables.counted(predictions).photo_id)
    tables.table2(predictions)  # every variant has the same photos

    frame, _, notes = sweep.run(study, manifest, found)
    assert (frame.n_test == 20 - 3 * frame.k).all()  # of 21 photos
    assert any("changed after the scan: 1 " in note for note in notes)
    drawn = json.loads((study.out / "draws.json").read_text(encoding="utf-8"))
    assert manifest.photo_id[0] not in {photo_id for draw in drawn for photo_id in draw["photo_ids"]}

    file.write_bytes(whole)  # the photo of the manifest again: as if nothing had been
    again, _ = inference.run(study, manifest, found)
    shutil.rmtree(study.cache)
    undisturbed, _ = inference.run(study, manifest, found)
    assert again.equals(undisturbed) and again.counted.all()


def test_features_that_are_kept_need_no_photo(movable):
    study, manifest, found, file = movable
    first = features.compute(study, manifest, found, [ORIGINAL], "none")["original"]
    file.unlink()
    assert features.compute(study, manifest, found, [ORIGINAL], "none")["original"].tobytes() == first.tobytes()


def test_a_photo_that_the_cutting_found_changed_is_not_counted(ready):
    study, manifest, found = ready
    found.loc[0, ["status", "reason", "mask_file"]] = ["unreadable", "changed since the scan", ""]
    predictions, notes = inference.run(study, manifest, found)
    assert set(predictions[predictions.photo_id == found.photo_id[0]].counted) == {0}
    assert any(f"{found.photo_id[0]} (changed since the scan)" in note for note in notes)


def test_all_photos_gone_is_one_sentence(movable):
    study, manifest, found, _ = movable
    shutil.rmtree(study.photos)
    with pytest.raises(UserError, match=r"No photo of .* is what the manifest says any more"):
        inference.run(study, manifest, found)


def test_a_mask_that_is_gone_is_one_sentence(ready):
    study, manifest, found = ready
    (study.out / "segments" / "truth" / found.mask_file[0]).unlink()
    with pytest.raises(UserError, match=r"0\.png cannot be read .*notebook 02"):
        features.compute(study, manifest, found, [MASK], "none")


@pytest.mark.parametrize("arrays", [{"other": np.ones(3)}, {"features": np.ones((3, 7), np.float32)}, {"features": 1}])
def test_damaged_features_in_the_cache_are_computed_anew(ready, arrays):
    study, manifest, found = ready
    first = features.compute(study, manifest, found, [ORIGINAL], "none")["original"]
    for file in (study.cache / "features").rglob("*.npz"):
        np.savez(file, **arrays)
    assert features.compute(study, manifest, found, [ORIGINAL], "none")["original"].tobytes() == first.tobytes()


@pytest.mark.parametrize("folder", ["outputs", "heads"])
def test_damaged_answers_in_the_cache_are_computed_anew(own, folder):
    study, manifest, found = own
    first = [inference.run(study, manifest, found)[0], sweep.run(study, manifest, found)[0]]
    for file in (study.cache / folder).rglob("*.npz"):
        np.savez(file, answers=np.ones(3), original=np.ones(2))
    again = [inference.run(study, manifest, found)[0], sweep.run(study, manifest, found)[0]]
    assert all(a.equals(b) for a, b in zip(first, again, strict=True))


def test_a_full_disk_is_one_sentence(ready, monkeypatch):
    def full(*given, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    study, manifest, found = ready
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match=r"features.*\.npz cannot be written \(No space left on device\); make room"):
        features.compute(study, manifest, found, [ORIGINAL], "none")


def test_a_study_without_a_single_fish_is_measured_as_it_is(ready):
    study, manifest, found = ready
    nothing = found.assign(status="no_detection", mask_file="", x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan)
    predictions, _ = inference.run(study, manifest, nothing)
    assert predictions.counted.all() and set(predictions.status) == {"no_detection"}
    wide = predictions.pivot(index="photo_id", columns="variant", values="predicted")
    assert all((wide[variant] == wide["original"]).all() for variant in wide)
    frame, differences, _ = sweep.run(study, manifest, nothing)
    assert len(frame) and (differences[["mean", "lo", "hi"]] == 0).all(axis=None)


@pytest.fixture
def tuned(ready):
    """A study whose whole network learns, two epochs on one species' shot, of the smallest backbone."""
    tiny, manifest, found = ready
    transfer = tiny.profile.transfer.model_copy(
        update={"tune": "all", "shots": [1], "variants": ["original", "mask"]}
        | {"whole": tiny.profile.transfer.whole.model_copy(update={"epochs": 2})}
    )
    profile = tiny.profile.model_copy(update={"backbone": "test_efficientnet", "transfer": transfer})
    two = manifest[manifest.species.isin(sorted(manifest.species.unique())[:2])]
    return replace(tiny, profile=profile), two, found


def test_the_whole_network_learns_draw_by_draw_and_a_killed_run_keeps_its_draws(tuned, monkeypatch):
    from fishlib.naming import transfer

    study, photos, found = tuned
    real, calls = transfer.tune_all, []

    def counted(*given, **options):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*given, **options)

    monkeypatch.setattr(transfer, "tune_all", counted)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(study, photos, found)
    monkeypatch.setattr(transfer, "tune_all", lambda *a, **k: calls.append(1) or real(*a, **k))
    frame, differences, _ = sweep.run(study, photos, found)
    assert len(frame) == 1 * 2 * 1 * 2 and len(calls) == 4  # one pre-training, two inputs, K = 1, two draws
    assert (frame.n_test == len(photos) - 2).all() and len(differences) == 1
    shutil.rmtree(study.cache / "heads")
    assert sweep.run(study, photos, found)[0].equals(frame)
    assert "whole network, 2 epochs" in captions.trained(study)["classifier"]
