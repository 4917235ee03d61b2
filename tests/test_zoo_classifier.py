"""The zoo's classifier names drawn fish it never saw, and its training command works from end to end."""

import sys

import numpy as np
import pytest
import torch

from fishlib import phantom, zoo
from fishlib.errors import UserError
from fishlib.naming import checkpoints, classifier
from fishlib.photos.composite import to_square
from fishlib.training import specimens as training

SPECIES = list(phantom.traits.load())
PAPERS = SPECIES[: len(phantom.COUNTS)]


@pytest.fixture(scope="module")
def model():
    return classifier.load("zoo", device="cpu")


def test_the_file_is_small_and_says_what_it_is(model):
    assert zoo.path("classifier").stat().st_size <= 8e6
    assert model.classes == sorted(SPECIES) and len(model.classes) >= 60
    assert model.name == checkpoints.LITE0 and model.pretraining == "specimen"
    assert model.training_hashes and model.history["start"] == "imagenet"
    card = (zoo.path("classifier").parent / "cards" / "classifier.md").read_text(encoding="utf-8")
    assert model.hash in card and "drawn" in card


def test_both_its_names_are_the_same_file(model):
    assert checkpoints.identity("zoo") == checkpoints.identity("specimen") != checkpoints.identity("imagenet")
    assert "drawn specimens of 65 species" in checkpoints.describe("zoo")


def test_masked_outputs_name_specimens_of_unseen_seeds(model):
    pictures = [to_square(phantom.draw(name, 900_003, k, "specimen", 320).photo) for k, name in enumerate(PAPERS)]
    indices = list(classifier.match_classes(PAPERS, model.classes).values())
    logits = classifier.logits(model, classifier.features(model, np.stack(pictures)))
    winners, _ = classifier.predict(classifier.masked_logits(logits, indices))
    assert np.mean(winners == np.arange(len(PAPERS))) > 0.8  # by chance: 1 of 17


def test_it_knows_no_other_fish(model):
    with pytest.raises(UserError, match="Salmo_trutta"):
        classifier.match_classes(["Salmo_trutta"], model.classes)


def test_training_draws_trains_measures_and_writes_a_card(tmp_path, monkeypatch, capsys):
    words = ["--species=3", "--pictures=4", "--epochs=1", "--held-out=1", f"--threads={torch.get_num_threads()}"]
    monkeypatch.setattr(sys, "argv", ["classifier", f"--out={tmp_path}", *words])
    training.main()
    made = classifier.load(tmp_path / "classifier.safetensors", device="cpu")
    assert made.classes == sorted(SPECIES[:3]) and len(made.history["epochs"]) == 1
    assert len(made.training_hashes) == 9  # one of the four of each species is held out
    card = (tmp_path / "classifier.md").read_text(encoding="utf-8")
    assert made.hash in card and "| specimens, all 3 outputs |" in card and card in capsys.readouterr().out
