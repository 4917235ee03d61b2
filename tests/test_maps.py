import numpy as np
import pytest
import torch

from fishlib.errors import UserError
from fishlib.naming import classifier, maps

AVERAGING = [
    "test_efficientnet",
    "mobilenetv3_small_050",
    "test_vit2",
    "test_convnext",
]  # in the order of their families
SHAPES = {"test_efficientnet": (3, 3, 256), "mobilenetv3_small_050": (3, 3, 288), "test_vit2": (10, 10, 64)}


def pictures(namer, n=2):
    side = namer.side or 96
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize("backbone", AVERAGING)
def test_the_mean_over_the_last_map_is_what_an_averaging_network_answers(backbone):
    namer = classifier.load("none", backbone, "cpu")
    images = pictures(namer)
    found = maps.compute(namer, images)
    if backbone in SHAPES:
        assert found.shape == (2, *SHAPES[backbone])
    assert maps.averages(namer)
    features = classifier.features(namer, images)
    np.testing.assert_allclose(maps.pool(namer, found), features, atol=1e-5 * np.abs(features).max())


def test_a_place_that_alone_counts_gives_that_place():
    namer = classifier.load("none", "test_efficientnet", "cpu")  # nothing comes after its pooling
    found = maps.compute(namer, pictures(namer))
    weights = np.zeros(found.shape[:3])
    weights[0, 2, 1] = 0.3
    answers = maps.pool(namer, found, weights)
    np.testing.assert_allclose(answers[0], found[0, 2, 1], rtol=1e-6)
    np.testing.assert_allclose(answers[1], found[1].mean((0, 1)), rtol=1e-4, atol=1e-8)  # nothing counts: all alike


def test_rows_of_a_map_are_rows_of_the_picture():
    """A transformer's tokens hang on their own patch most: what changes at the top right changes there."""
    namer = classifier.load("none", "test_vit2", "cpu")
    images = pictures(namer, 1)
    changed = images.copy()
    changed[:, :16, -16:] = 255 - changed[:, :16, -16:]
    difference = np.abs(maps.compute(namer, images) - maps.compute(namer, changed)).sum(-1)[0]
    assert np.unravel_index(difference.argmax(), difference.shape) == (0, 9)


def test_a_class_token_is_no_average_and_pooling_by_attention_has_no_map():
    token = classifier.load("none", "test_vit", "cpu")
    assert not maps.averages(token)
    assert maps.pool(token, maps.compute(token, pictures(token))).shape == (2, token.dim)
    token.model.attn_pool = torch.nn.Identity()
    with pytest.raises(UserError, match="test_vit has no last feature map"):
        maps.compute(token, pictures(token))


@pytest.mark.parametrize("weights", [np.ones((2, 3, 2)), -np.ones((2, 3, 3)), np.full((2, 3, 3), np.nan)])
def test_weights_of_another_map_are_refused(weights):
    namer = classifier.load("none", "test_efficientnet", "cpu")
    with pytest.raises(ValueError, match="weights must be"):
        maps.pool(namer, np.ones((2, 3, 3, 256), np.float32), weights)


def test_a_network_made_for_one_size_is_made_for_the_size_asked():
    namer = classifier.load("none", "test_vit2", "cpu", side=96)
    assert namer.side == 96
    assert maps.compute(namer, pictures(namer)).shape == (2, 6, 6, 64)
    assert classifier.load("none", "test_efficientnet", "cpu", side=96).side is None  # takes any
    with pytest.raises(UserError, match=r"test_vit cuts .*of 16 pixels, which 100 is no multiple of; choose 96"):
        classifier.load("none", "test_vit", "cpu", side=100)
