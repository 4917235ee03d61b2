"""Every input and every pair of inputs that the profile fuses, on the draws of figure 3: one ranking with intervals.

Which fusions there are is fixed in the profile before anything is measured. Features are fused as they are; shares of
two heads with a weight that the K photos choose alone, each left out in turn, from three photos a species on.
"""

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.beyond import inside, shots, words
from fishlib.files.frames import write_frame
from fishlib.naming import features, sweep
from fishlib.naming.heads import adam, left_out
from fishlib.photos.composite import BASIC, LABELS
from fishlib.profiles import Fusion
from fishlib.scores import contrasts, evaluation, intervals
from fishlib.study import Study

MEAN, BESIDE, SHARES = "mean", "side by side", "shares"  # how (profiles.Fusion)
WEIGHTS = np.linspace(0, 1, 5)  # of the first input's shares; ours, coarse, since few photos choose
FEWEST = 3  # photos a species from which on they choose; below, both count alike
RANKED = ["pretraining", "k", "input", "percent", "lo", "hi", "best"]  # hi, lo: two-way, in percent
RANKED += ["against", "difference", "difference_lo", "difference_hi", "p_holm"]  # minus the best single input, points
RANKED += ["chance"]  # percent right of who guesses
NAME = "beyond/fusions.csv"  # in the run folder


def name_of(fusion: Fusion) -> str:
    """mean(original_inside, crop_mask_inside)."""
    return f"{fusion.how}({', '.join(fusion.of)})"


def label(name: str) -> str:
    """An input in words."""
    if name in LABELS:
        return LABELS[name]
    if name.endswith(inside.INSIDE):
        return f"{LABELS[name.removesuffix(inside.INSIDE)]}, pooled under the mask"
    if name.endswith(inside.PLAIN):
        return f"{LABELS[name.removesuffix(inside.PLAIN)]}, mean of the tokens"
    how, _, of = name.removesuffix(")").partition("(")
    first, second = (label(part) for part in of.split(", "))
    both = {MEAN: "Mean of features", BESIDE: "Features side by side", SHARES: "Mean of two heads' shares"}
    return f"{both[how]}: {first} + {second}"


def of_one_k(frame: pd.DataFrame, k: int | None = None) -> pd.DataFrame:
    """The rows of RANKED of one K (None: the largest), the best input first."""
    k = int(frame["k"].max()) if k is None else k
    return frame[frame["k"] == k].reset_index(drop=True)


def said(frame: pd.DataFrame) -> str:
    """A sentence: the best single input of the largest K, and whether pooling under the mask, or a fusion, gains more
    than luck. frame: RANKED, some rows."""
    rows = of_one_k(frame)
    k, best_single = int(rows["k"].iloc[0]), rows["against"].iloc[0]
    others = rows[~rows["input"].map(is_single)]
    start = f"With {words.counted(k, 'photo')} of each species the best single input is {label(best_single)}"
    if others.empty:
        return f"{start}; the profile asks for no other."
    gained = others[(others["p_holm"] < contrasts.ALPHA) & (others["difference"] > 0)]
    if len(gained):
        parts = [f"{label(row['input'])} ({against(row)} points)" for row in gained.to_dict("records")]
        return f"{start}; better by more than luck: {words.listed(parts)}."
    left = [label(name) for name in others.loc[others["best"], "input"]]
    among = f"; among those that cannot be told from the best: {words.listed(left)}" if left else ""
    return f"{start}, and no pooling under the mask and no fusion is better by more than luck{among}."


def against(row) -> str:
    """A row's difference to the best single input in points, with its interval."""
    low, high = (words.points(row[end]).removeprefix("+") for end in ("difference_lo", "difference_hi"))
    return f"{words.points(row['difference'])} ({low} to {high})"


def is_single(name: str) -> bool:
    """One of the paper's inputs, as it is."""
    return name in BASIC


def run(
    study: Study, photos: pd.DataFrame, found: pd.DataFrame, source: str, groups: pd.Series | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """(RANKED of every K, notes), also kept in NAME. photos, found: as naming.sweep; source: as naming.features.

    UserError for a network without a last feature map, where the profile asks for it.
    """
    usable, lost = features.usable(photos, found)
    (results, asked, notes), changed = features.without_changed(
        study, usable, lambda there: _learn(study, there, found, source)
    )
    if groups is not None:
        results = shots.leave_out(results, asked, groups)
    frame = ranked(results).assign(chance=100 / max(1, asked["species"].nunique()))
    write_frame(frame, study.out / NAME)
    return frame, notes + features.told(lost | changed)


def ranked(results: list[sweep.Result]) -> pd.DataFrame:
    """RANKED, of each K the best input first. The best single one was found on the same photos, which favours it; p is
    Holm's among all other inputs of that K."""
    rows = []
    for pretraining, k in dict.fromkeys((result.pretraining, result.k) for result in results):
        right = {r.variant: r.right for r in results if (r.pretraining, r.k) == (pretraining, k)}
        rows += _ranked(pretraining, k, right)
    return pd.DataFrame(rows, columns=RANKED)


def _ranked(pretraining: str, k: int, right: dict[str, np.ndarray]) -> list[dict]:
    whole = {name: evaluation.two_way_interval(mine) for name, mine in right.items()}
    singles = [name for name in right if is_single(name)]
    if not singles:
        return []
    best_single = max(singles, key=lambda name: whole[name]["mean"])
    told_from_best = contrasts.against_best(right).set_index("variant")
    others = [name for name in right if name != best_single]
    apart = {name: evaluation.two_way_interval(right[name] - right[best_single]) for name in others}
    p_values = [intervals.p_of_two_way(d["mean"], d["lo"], d["hi"], d["n"]) for d in apart.values()]
    p_holm = dict(zip(others, contrasts.holm(p_values), strict=True))

    rows = []
    for name in sorted(right, key=lambda name: -whole[name]["mean"]):
        found = whole[name]
        lo, hi = np.clip([found["lo"], found["hi"]], 0, 100)
        row = {"pretraining": pretraining, "k": k, "input": name, "percent": found["mean"], "lo": lo, "hi": hi}
        p_of_best = told_from_best.loc[name, "p_holm"]
        row["best"] = bool(told_from_best.loc[name, "best"] or not p_of_best < 0.05)
        row["against"] = best_single
        if name in apart:
            difference = apart[name]
            row |= {"difference": difference["mean"], "p_holm": p_holm[name]}
            row |= {"difference_lo": difference["lo"], "difference_hi": difference["hi"]}
        rows.append(row)
    return rows


def _learn(study: Study, photos: pd.DataFrame, found: pd.DataFrame, source: str):
    """(results of every input and K, photos used, notes)."""
    photos, shots, notes = sweep.usable(photos, study.profile.transfer.shots)
    if not shots:
        return [], photos, notes
    values = inputs(study, photos, found, source)
    species = sorted(photos["species"].unique())
    labels = np.array([species.index(name) for name in photos["species"]])

    plain = sweep.heads(study, labels, len(species))
    learners = [(name, plain, x) for name, x in values.items()]
    for fusion in study.profile.beyond.fusions:
        first, second = (values[name] for name in fusion.of)
        learner = plain
        if fusion.how == SHARES:
            learner = _two_heads(study, labels, len(species), first.shape[1])
        x = (first + second) / 2 if fusion.how == MEAN else np.concatenate([first, second], axis=1)
        learners.append((name_of(fusion), learner, x))
    draws = sweep.draws_of(study, photos, shots)
    results = list(sweep.learn(study, photos, labels, draws, source, learners, len(learners)))
    return results, photos, notes


def inputs(study: Study, photos: pd.DataFrame, found: pd.DataFrame, source: str) -> dict[str, np.ndarray]:
    """Name -> float32 (N, D): the paper's four, those of the profile pooled under the mask, and, where the network
    reads a class token, the plain mean of the others beside them."""
    values = features.compute(study, photos, found, list(BASIC.values()), source)
    wanted = [BASIC[name] for name in study.profile.beyond.inside]
    if not wanted:
        return values
    pooled = inside.compute(study, photos, found, wanted, source)
    for variant in wanted:
        plain = pooled[variant.name + inside.PLAIN]
        own = values[variant.name]
        if plain.shape != own.shape or not np.allclose(plain, own, rtol=1e-3, atol=1e-3):
            values[variant.name + inside.PLAIN] = plain
        values[variant.name + inside.INSIDE] = pooled[variant.name + inside.INSIDE]
    return values


def _two_heads(study: Study, labels: np.ndarray, n_classes: int, first: int) -> sweep.Learner:
    """A head on each of two inputs, whose shares are averaged. What it learns from has the features of the first input
    in its first columns."""
    settings = study.profile.transfer

    def train(x: np.ndarray, rows: np.ndarray, seeds: list[int]) -> np.ndarray:
        head = adam(settings, seeds, study.device)
        views = [np.ascontiguousarray(part) for part in (x[:, :first], x[:, first:])]
        shares = [_shares(head(view, labels, rows, n_classes)) for view in views]  # (R, N, C)
        weight = np.full(len(rows), 0.5)
        if rows.shape[1] >= FEWEST * n_classes:
            held_out = [_shares(left_out(head, view, labels, rows, n_classes)) for view in views]  # (R, n, C)
            weight = chosen(*held_out, labels[rows])
        weight = weight[:, None, None]
        return (weight * shares[0] + (1 - weight) * shares[1]).argmax(axis=-1)

    code = cache.code_version(__name__, "fishlib.naming.heads", "fishlib.naming.transfer")
    made_of = {"epochs": settings.epochs, "lr": settings.learning_rate, "first": first, "code": code}
    return sweep.Learner(train, made_of, together=True)


def chosen(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Float (R,): of WEIGHTS that under which the true species of a draw's photos, left out in turn, are
    likeliest; of equals that nearest to a half.

    first, second: shares (R, n, C), NaN for a photo that was never left out; truth: int (R, n).
    """
    from_middle = WEIGHTS[np.argsort(np.abs(WEIGHTS - 0.5), kind="stable")]
    own = [np.take_along_axis(shares, truth[..., None], axis=-1)[..., 0] for shares in (first, second)]
    likelihood = []
    for weight in from_middle:
        share = np.clip(weight * own[0] + (1 - weight) * own[1], 1e-6, None)
        likelihood.append(np.nanmean(np.log(share), axis=1))
    return from_middle[np.argmax(likelihood, axis=0)]


def _shares(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)
