"""Nearest class means and the paper's head: scores of all draws at once, and of what was learnt from, left out."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize
from test_transfer import data

from fishlib.errors import UserError
from fishlib.naming import heads, transfer

SETTINGS = SimpleNamespace(epochs=20, learning_rate=5e-3)


def by_hand(x, labels, rows, n_classes):
    """SimpleShot as its paper has it, photo by photo."""
    centre = x[rows].mean(axis=0)
    unit = np.array([(row - centre) / np.linalg.norm(row - centre) for row in x.astype(float)])
    means = np.stack([unit[[r for r in rows if labels[r] == c]].mean(axis=0) for c in range(n_classes)])
    return np.array([[-((u - mean) ** 2).sum() / 2 for mean in means] for u in unit])


def test_batched_class_means_are_those_of_each_draw():
    x, labels, draws, classes, _ = data()
    found = heads.simple_shot(x, labels, draws, classes)
    assert found.shape == (len(draws), len(x), classes)
    for scores, rows in zip(found, draws, strict=True):
        np.testing.assert_allclose(scores, by_hand(x, labels, rows, classes), atol=1e-6)


def test_class_means_answer_as_scikit_learns_nearest_centroid():
    x, labels, draws, classes, _ = data()
    answers = heads.simple_shot(x, labels, draws, classes).argmax(axis=-1)
    for found, rows in zip(answers, draws, strict=True):
        unit = normalize(x - x[rows].mean(axis=0))
        assert found.tolist() == NearestCentroid().fit(unit[rows], labels[rows]).predict(unit).tolist()


def test_batched_class_means_learn():
    x, labels, draws, classes, _ = data()
    assert (heads.simple_shot(x, labels, draws, classes).argmax(axis=-1) == labels).mean() > 0.7


def test_the_papers_head_gives_the_answers_of_the_sweep():
    x, labels, draws, classes, seeds = data()
    scores = heads.adam(SETTINGS, seeds)(x, labels, draws, classes)
    trained = transfer.train_heads(x, labels, draws, classes, SETTINGS.epochs, SETTINGS.learning_rate, seeds)
    np.testing.assert_array_equal(scores.argmax(axis=-1), transfer.predict_heads(x, *trained))


@pytest.mark.parametrize("name", [heads.ADAM, heads.SIMPLE_SHOT])
def test_a_photo_that_is_left_out_was_not_learnt_from(name):
    x, labels, draws, classes, seeds = data(heads=2)
    head = heads.simple_shot if name == heads.SIMPLE_SHOT else heads.adam(SETTINGS, seeds)
    found = heads.left_out(head, x, labels, draws, classes)
    assert found.shape == (2, draws.shape[1], classes)

    first = np.arange(draws.shape[1]) % 3 == 0  # one photo of each species: data() draws three, species after species
    alone = head(x, labels, draws[:, ~first], classes)
    for r, rows in enumerate(draws):
        np.testing.assert_allclose(found[r, first], alone[r, rows[first]], atol=1e-5)


def test_what_is_left_out_together():
    assert heads.folds(np.array([0, 0, 0, 1, 1, 1])).tolist() == [0, 1, 2, 0, 1, 2]
    assert heads.folds(np.array([0, 0, 1])).tolist() == [0, 1, -1]  # without it nothing would be left of its species
    assert heads.folds(np.arange(24) // 12, most=3).tolist() == [0, 1, 2] * 8
    trips = ["a", "a", "b", "b", "a", "b"]
    assert heads.folds(np.array([0, 0, 0, 0, 1, 1]), trips).tolist() == [0, 0, 1, 1, 0, 1]
    assert heads.folds(np.array([0, 0, 1, 1]), ["a", "b", "b", "b"]).tolist() == [0, 1, -1, -1]


def test_photos_that_cannot_be_left_out_have_no_score():
    x, labels, draws, classes, _ = data(heads=1, shots=1)
    assert np.isnan(heads.left_out(heads.simple_shot, x, labels, draws, classes)).all()


def test_odd_draws():
    x, labels, draws, classes, _ = data(heads=1)
    with pytest.raises(UserError, match="No photo"):
        heads.simple_shot(x, labels, draws[:, :0], classes)
    without_last = draws[:, labels[draws[0]] != classes - 1]
    found = heads.simple_shot(x, labels, without_last, classes)
    assert np.isneginf(found[..., -1]).all() and np.isfinite(found[..., :-1]).all()
    same = partial(heads.simple_shot, np.ones((4, 3)), np.array([0, 0, 1, 1]), np.array([[0, 2]]), 2)
    assert np.isfinite(same()).all()  # photos without a difference, no division by nothing
