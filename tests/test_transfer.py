import numpy as np
import pytest
import torch

from fishlib.errors import UserError
from fishlib.naming import classifier, transfer


def data(n=60, dim=48, classes=5, heads=4, shots=3, seed=0):
    """Rectified features like a network's, labels, draws of `shots` rows a class and seeds."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, dim))
    x = np.clip(centres[labels] + rng.normal(size=(n, dim)), 0, 6).astype(np.float32)
    x[:, :5] = 0  # dead features
    rows = [[rng.permutation(np.flatnonzero(labels == c))[:shots] for c in range(classes)] for _ in range(heads)]
    return (
        x,
        labels,
        np.array(rows).reshape(heads, -1),
        classes,
        [int(s) for s in rng.integers(0, 2**31, heads)],
    )


def alone(x, labels, rows, classes, seed, epochs=100, lr=5e-4):
    torch.manual_seed(seed)
    layer = torch.nn.Linear(x.shape[1], classes)
    optimiser = torch.optim.Adam(layer.parameters(), lr=lr)
    images, target = torch.from_numpy(x[rows]), torch.from_numpy(labels[rows])
    for _ in range(epochs):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(layer(images), target).backward()
        optimiser.step()
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def numpy_alone(x, labels, rows, weight, bias, epochs=100, lr=5e-4):
    """The same training written from Adam's paper, with NumPy in float64."""
    x, p = x[rows].astype(float), np.concatenate([weight, bias[:, None]], axis=1).astype(float)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t in range(1, epochs + 1):
        share = np.exp(x @ p.T - (x @ p.T).max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        share[np.arange(len(x)), labels[rows]] -= 1
        g = share.T @ x / len(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p[:, :-1], p[:, -1]


@pytest.mark.parametrize("shots", [1, 5])
def test_batched_heads_equal_the_plain_loop(shots):
    x, labels, draws, classes, seeds = data(shots=shots)
    weight, bias = transfer.train_heads(x, labels, draws, classes, seeds=seeds)
    answers = transfer.predict_heads(x, weight, bias)
    for r, (rows, seed) in enumerate(zip(draws, seeds, strict=True)):
        w, b = alone(x, labels, rows, classes, seed)
        np.testing.assert_allclose(weight[r], w, atol=1e-4)
        np.testing.assert_allclose(bias[r], b, atol=1e-4)
        np.testing.assert_array_equal(answers[r], (x @ w.T + b).argmax(1))


def test_batched_heads_equal_numpy_alone():
    x, labels, draws, classes, seeds = data(heads=2)
    start = transfer.train_heads(x, labels, draws, classes, epochs=0, seeds=seeds)
    weight, bias = transfer.train_heads(x, labels, draws, classes, seeds=seeds)
    for r, rows in enumerate(draws):
        w, b = numpy_alone(x, labels, rows, start[0][r], start[1][r])
        np.testing.assert_allclose(weight[r], w, atol=1e-4)
        np.testing.assert_allclose(bias[r], b, atol=1e-4)


def test_a_head_depends_on_its_own_draw_and_seed_alone():
    x, labels, draws, classes, seeds = data()
    together = transfer.train_heads(x, labels, draws, classes, seeds=seeds)[0]
    again = transfer.train_heads(x, labels, draws, classes, seeds=seeds)[0]
    single = transfer.train_heads(x, labels, draws[2:3], classes, seeds=seeds[2:3])[0]
    np.testing.assert_array_equal(together, again)
    np.testing.assert_allclose(together[2], single[0], atol=1e-6)
    assert np.abs(together[2] - transfer.train_heads(x, labels, draws[2:3], classes, seeds=[1])[0]).max() > 0.01


def test_training_learns_and_leaves_the_callers_random_state():
    x, labels, draws, classes, seeds = data()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    weight, bias = transfer.train_heads(x, labels, draws, classes, seeds=seeds)
    assert torch.equal(torch.rand(3), expected)
    before = transfer.train_heads(x, labels, draws, classes, epochs=0, seeds=seeds)
    right = [(transfer.predict_heads(x, *p) == labels).mean() for p in (before, (weight, bias))]
    assert right[0] < 0.4 < 0.6 < right[1]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_predictions_do_not_depend_on_the_chunk(chunk):
    rng = np.random.default_rng(1)
    x, weight, bias = (rng.normal(size=s).astype(np.float32) for s in [(20, 6), (3, 4, 6), (3, 4)])
    expected = np.stack([(x @ w.T + b).argmax(1) for w, b in zip(weight, bias, strict=True)])
    np.testing.assert_array_equal(transfer.predict_heads(x, weight, bias, chunk), expected)


def test_an_empty_draw_is_a_users_error():
    x, labels, draws, classes, _ = data()
    with pytest.raises(UserError, match="No photo"):
        transfer.train_heads(x, labels, draws[:, :0], classes)


def test_the_whole_network_learns_what_its_draw_shows():
    random, labels = np.random.default_rng(0), np.arange(24) % 2
    pictures = random.integers(0, 90, (24, 64, 64, 3)).astype(np.uint8)
    pictures[labels == 1, ..., 0] += 120  # the second kind is red
    base, draw = classifier.load("none", "test_efficientnet", "cpu"), np.arange(8)
    before = {k: v.clone() for k, v in base.model.state_dict().items()}
    options = {"epochs": 6, "lr": 1e-3, "batch": 8}
    first, again = (transfer.tune_all(base, pictures, labels, draw, 2, seed=3, **options) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (24,) and (first[8:] == labels[8:]).mean() > 0.9
    assert all(torch.equal(v, before[k]) for k, v in base.model.state_dict().items())  # every draw starts anew
