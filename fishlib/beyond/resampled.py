"""Heads that learn from some photos and are asked about others: ten, each from a bootstrap draw of the photos to learn
from, so that an interval knows the luck of these as well."""

import numpy as np

from fishlib import cache
from fishlib.study import Study, stage

HEADS = 10  # as the paper's ten draws


def draws(labels: np.ndarray, seed: int, heads: int = HEADS) -> np.ndarray:
    """Int (heads, N): rows that each head learns from, as many of each label as there are, drawn with replacement.

    labels: int (N,).
    """
    rows = []
    for head in range(heads):
        random = np.random.default_rng([seed, head])
        of_labels = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        rows.append(np.concatenate([random.choice(mine, len(mine)) for mine in of_labels]))
    return np.stack(rows)


def answers(
    study: Study, learnt: np.ndarray, labels: np.ndarray, rows: np.ndarray, asked: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """name -> int (R, M), the label that each of R heads names every picture of that name; kept in the cache.

    learnt: float32 (N, D), features of what is learnt from; labels: int (N,); rows: int (R, n) of them; asked: name ->
    float32 (M, D).
    """
    settings = study.profile.transfer
    n_classes = int(labels.max()) + 1
    key = cache.key(
        learnt=cache.array_hash(learnt),
        asked={name: cache.array_hash(values) for name, values in asked.items()},
        labels=labels.tolist(),
        rows=rows.tolist(),
        seed=study.profile.seed,
        epochs=settings.epochs,
        lr=settings.learning_rate,
        code=cache.code_version(__name__, "fishlib.naming.transfer"),
    )
    entry = cache.entry(study.cache, "heads", key)
    with stage(study, "heads-beyond") as record:
        kept = cache.load(entry) or {}
        whole = all(name in kept and kept[name].shape == (len(rows), len(values)) for name, values in asked.items())
        if whole:
            record["reused"] += len(rows)
            return {name: kept[name] for name in asked}

        from fishlib.naming import transfer  # imports torch, which a cached run never needs

        states = [np.random.SeedSequence([study.profile.seed, head]) for head in range(len(rows))]
        seeds = [int(state.generate_state(1)[0]) for state in states]
        weight, bias = transfer.train_heads(
            learnt, labels, rows, n_classes, settings.epochs, settings.learning_rate, seeds, study.device
        )
        named = {name: transfer.predict_heads(values, weight, bias) for name, values in asked.items()}
        cache.save(entry, **named)
        record["computed"] += len(rows)
        return named
