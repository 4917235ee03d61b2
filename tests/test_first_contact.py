"""First contact: models that are spoiled on purpose are suspicious, intact ones are not."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fishlib import cli, weights
from fishlib.errors import UserError
from fishlib.photos.manifest import scan_photos
from fishlib.removal import first_contact, segmenters, segmenting
from fishlib.removal.segmenters import NO_DETECTION, Segmentation, gdino


class Swapped:
    """Hands its pictures on with red and blue swapped."""

    def __init__(self, segmenter):
        self.segmenter, self.key = segmenter, segmenter.key

    def segment(self, images, photo_ids):
        return self.segmenter.segment([np.ascontiguousarray(image[..., ::-1]) for image in images], photo_ids)


class Exact:
    """Knows the drawn fish of SEED; finds them in pictures of one order of colours alone."""

    def __init__(self, bgr: bool = False, everywhere: bool = False):
        self.key = {}
        self.bgr, self.everywhere = bgr, everywhere
        species = list(first_contact.traits.load())
        drawn = [first_contact.phantom.draw(species[5 * i % len(species)], first_contact.SEED, i) for i in range(12)]
        self.truth = {self._name(fish.photo[..., ::-1] if bgr else fish.photo): fish for fish in drawn}

    def _name(self, image) -> bytes:
        return np.ascontiguousarray(image).tobytes()

    def segment(self, images, photo_ids):
        return [self._one(image) for image in images]

    def _one(self, image):
        fish = self.truth.get(self._name(image))
        if fish is not None:
            return Segmentation(fish.body | fish.fins, fish.box, 0.9)
        if self.everywhere:
            return Segmentation(np.ones(image.shape[:2], bool), np.array([0, 0, *image.shape[1::-1]]), 0.9)
        return Segmentation(status=NO_DETECTION)


def shuffled(model):
    """The same numbers in another order, layer by layer."""
    with torch.no_grad():
        for values in model.parameters():
            values.copy_(values.flatten()[torch.randperm(values.numel())].view_as(values))
    return model


def stand_in(method: str):
    return segmenters.build(method, {}), first_contact._known(first_contact.Asked("zoo", method, {}))


def test_an_exact_method_is_as_it_should_be():
    seen = first_contact.look("exact", Exact())
    assert seen.said == "as it should be"
    assert (seen.found, seen.fish, seen.alarms, seen.empty) == (12, 12, 0, 2)
    assert seen.mask_iou == seen.mean_iou == 1 and seen.box_iou > 0.98
    assert seen.seconds > 0 and seen.score == pytest.approx(0.9)


def test_colours_the_other_way_round_are_named():
    said = first_contact.look("exact", Exact(bgr=True)).said
    assert said.startswith("suspicious: 0 of 12 drawn fish found") and "it wants BGR" in said


def test_a_mask_of_everything_and_a_deaf_prompt_are_named():
    everything = Exact(everywhere=True)
    everything.truth = {}
    seen = first_contact.look("everything", everything, other=everything)
    assert seen.alarms == 2 and seen.found == seen.other == 12
    assert "median IoU 0." in seen.said and "12 of 12 fish found by the word bicycle as well" in seen.said


@pytest.mark.parametrize("method", first_contact.STAND_INS)
def test_stand_ins_are_as_they_should_be_and_with_swapped_colours_suspicious(method):
    intact = first_contact.meet(first_contact.Asked("zoo", method, {}), "cpu")
    assert intact.said == "as it should be", intact.said
    assert intact.other == (None if method == "detic" else 0)
    segmenter, known = stand_in(method)
    spoiled = first_contact.look(method, Swapped(segmenter), known=known)
    assert "not answered as this stand-in is known to" in spoiled.said


@pytest.mark.parametrize("seed", range(2))
def test_intact_stand_ins_are_never_suspicious(seed):
    for method in ("gdino-sam", "detic"):
        assert first_contact.look(method, segmenters.build(method, {}), seed=seed).said == "as it should be"


def test_missing_normalisation_and_shuffled_weights_are_suspicious(monkeypatch):
    segmenter, known = stand_in("gdino-sam")
    with monkeypatch.context() as patch:
        patch.setattr(gdino, "MEAN", [0, 0, 0])
        patch.setattr(gdino, "STD", [1, 1, 1])
        assert first_contact.look("gdino-sam", segmenter, known=known).hints

    torch.manual_seed(0)
    segmenter, _ = stand_in("gdino-sam")
    shuffled(segmenter.segment_anything)
    assert first_contact.look("gdino-sam", segmenter).hints
    segmenter, _ = stand_in("gdino-sam")
    shuffled(segmenter.detector)
    assert first_contact.look("gdino-sam", segmenter).hints


def test_a_run_meets_each_checkpoint_once(tiny_study, monkeypatch):
    manifest = scan_photos(tiny_study).iloc[:2]
    frames = {"gdino-sam": segmenting.run(tiny_study, "gdino-sam", manifest), "grabcut": None}
    met = first_contact.of_run(tiny_study, frames)
    assert list(met) == ["gdino-sam"] and met["gdino-sam"]["said"] == "as it should be"
    assert json.loads((tiny_study.out / "stages" / first_contact.KEPT).read_text()) == met

    monkeypatch.setattr(first_contact, "look", lambda *a, **k: pytest.fail("the model was asked again"))
    assert first_contact.of_run(tiny_study, frames) == met
    assert first_contact.table(met).loc["gdino-sam", "drawn fish found"] == "2 of 2"


def test_every_entry_that_cuts_is_taken_by_a_method_with_such_an_option():
    for name in weights.manifest():
        for one in first_contact.asked(name):
            segmenters.check(one.method, one.options)
            assert name in segmenters.needs(one.method, one.options).values()
    assert [name for name in weights.manifest() if not first_contact.asked(name)] == ["swin_t"]


def test_the_command_says_what_it_could_not_ask(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(first_contact, "STAND_INS", ("detic",))
    done = CliRunner().invoke(cli.app, ["weights", "try", "zoo", "sam_vit_b", "swin_t", "--device", "cpu"])
    assert done.exit_code == 1
    assert "zoo (detic): as it should be" in done.stdout and "12 of 12" in done.stdout
    assert "sam_vit_b was not run: The checkpoint sam_vit_b is missing" in done.output
    assert "swin_t cuts no fish out" in done.output
    assert CliRunner().invoke(cli.app, ["weights", "try", "--all", "--device", "cpu"]).exit_code == 0

    for words in ([], ["no_such"]):
        with pytest.raises(UserError):
            first_contact.meet_all(words, False, "cpu")
