"""What the tables of a run folder say of the one question: contrasts, and the verdict that rests on them.

Reads what the stages left there and nothing else: no photo, no checkpoint's weights. What is not there is left out and
named. Where groups are known, figure 3 is read as it is without the companions of drawn photos.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fishlib.beyond import companions, cutters, fusions, halves, inputs, reliance, shots, verdict, words
from fishlib.errors import UserError
from fishlib.files.frames import read_frame, write_frame
from fishlib.naming import checkpoints, inference
from fishlib.photos import curation, manifest
from fishlib.removal import reviews, segmenters
from fishlib.scores import contrasts
from fishlib.study import Study

FOLDER = "beyond"  # in the run folder
NOTHING_ASKED = "No photo was named in this run, so the question has no answer yet; run notebooks 03 and 04."
PREDICTED = ["photo_id", "species", "variant", "predicted", "correct", "counted"]
PAIRED = ["pretraining", "variant", "k", "n", "mean", "lo", "hi"]
DRAWS = ["pretraining", "variant", "k", "trial", "n_test", "n_correct"]


class Evidence(NamedTuple):
    """Verdict and what it rests on.

    verdict: None where nothing was asked. choices: K -> which input to learn from, with the pre-training that the
    verdict tells of. contrasts: contrasts.COLUMNS of tables 2 to 4, a family after the other. shares:
    contrasts.shares. figure3: contrasts.figure3. notes: what is left out, and why.
    as_if_alone and figure3_as_if_alone: contrasts and figure3 where no photo had companions; no rows without groups.
    inputs: inputs.COLUMNS, the share that each input was named right, in every way that the run asked.
    """

    verdict: verdict.Verdict | None
    choices: dict[int, verdict.Verdict]
    contrasts: pd.DataFrame
    shares: pd.DataFrame
    figure3: pd.DataFrame
    notes: list[str]
    as_if_alone: pd.DataFrame
    figure3_as_if_alone: pd.DataFrame
    inputs: pd.DataFrame


def of(study: Study) -> Evidence:
    """The evidence of a run, from its files as they are now. UserError for a file that is damaged."""
    notes = []
    answers = _table(study, "predictions.csv", PREDICTED, notes)
    answers["counted"] = pd.to_numeric(answers["counted"]).astype(int)
    answers = answers[answers["counted"] == 1].assign(correct=lambda rows: pd.to_numeric(rows["correct"]).astype(int))
    groups = companions.of(companions.read(study), answers["photo_id"].unique())
    apart = groups is not None and (study.out / shots.PAIRED).is_file()
    paired = _table(study, shots.PAIRED if apart else "tables/figure3_paired.csv", PAIRED, notes)
    draws = _table(study, shots.DRAWS if apart else "tables/figure3.csv", DRAWS, notes)
    paired, draws = _numbers(paired, PAIRED[2:]), _numbers(draws, DRAWS[2:])

    families = contrasts.from_predictions(answers, groups)
    every = _all(families)
    as_if_alone = every.iloc[:0]
    figure3_as_if_alone = contrasts.figure3(paired.iloc[:0])
    if groups is not None:
        as_if_alone = _all(contrasts.from_predictions(answers))
    if apart:
        alone = _numbers(_table(study, "tables/figure3_paired.csv", PAIRED, notes), PAIRED[2:])
        figure3_as_if_alone = contrasts.figure3(alone)
    shares = contrasts.shares(answers, groups is not None)
    figure3 = contrasts.figure3(paired)

    run = _run(study, families.get("table 2"), _fair(study), figure3, draws, groups is not None)
    asked = run.without is not None or run.trained is not None
    if not asked:
        notes.append(NOTHING_ASKED)
    answer = verdict.verdict(run) if asked else None
    choices = _choices(study, figure3)
    named = _inputs(study, shares, draws, _pretraining(study, figure3), groups is not None)
    return Evidence(answer, choices, every, shares, figure3, notes, as_if_alone, figure3_as_if_alone, named)


def _all(families: dict[str, pd.DataFrame]) -> pd.DataFrame:
    if not families:
        return pd.DataFrame(columns=contrasts.COLUMNS)
    return pd.concat(families.values(), ignore_index=True)


def write(study: Study, found: Evidence) -> None:
    """Keep contrasts, shares and figure 3's differences with corrected p as CSV files in FOLDER of the run."""
    folder = study.out / FOLDER
    write_frame(found.contrasts, folder / "contrasts.csv")
    write_frame(found.shares, folder / "shares.csv")
    write_frame(found.figure3, folder / "figure3_tested.csv")


def _table(study: Study, name: str, columns: list[str], notes: list[str]) -> pd.DataFrame:
    """`columns` of a table of the run, as text; no rows, and a note, where the run has none."""
    path = study.out / name
    if not path.is_file():
        notes.append(f"{name} is not there; what it would hold is left out.")
        return pd.DataFrame(columns=columns, dtype=str)
    return read_frame(path, columns)[columns]


def _numbers(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The same with numbers in these columns; empty cells are NaN."""
    try:
        return frame.assign(**{name: pd.to_numeric(frame[name]) for name in columns})
    except ValueError as error:
        raise UserError(f"A table of figure 3 holds text where numbers belong ({error}); run notebook 04.") from error


def _fair(study: Study) -> pd.DataFrame:
    """Table 2's contrasts of half-splits (see halves.run); no rows where a classifier knows the species."""
    columns = [*contrasts.COLUMNS, "learnt_from", "splits"]
    if study.classifier is not None or not (study.out / halves.CONTRASTS).is_file():
        return pd.DataFrame(columns=columns)
    frame = read_frame(study.out / halves.CONTRASTS, columns)
    numbers = ["n", "n_groups", "percent", "percent_against", "difference", "lo", "hi", "p_value", "p_holm", "splits"]
    return _numbers(frame[frame["family"] == "table 2"], numbers)


def _run(
    study: Study,
    table2: pd.DataFrame | None,
    fair: pd.DataFrame,
    figure3: pd.DataFrame,
    draws: pd.DataFrame,
    grouped: bool,
) -> verdict.Run:
    """What a verdict needs to know. table2: contrasts of one answer a photo, None without any; fair: see _fair."""
    knows_species = study.classifier is not None
    without = verdict.asked(table2) if knows_species and table2 is not None else None
    trained = _of_shots(study, figure3, draws)
    learnt_from_originals = table2
    if len(fair):
        splits = int(fair["splits"].iloc[0])
        same = fair["learnt_from"] == halves.SAME
        trained = verdict.asked(fair[same], learnt_from=verdict.HALF, draws=splits)
        learnt_from_originals = fair[~same]
    return verdict.Run(
        cutter=_cutter(study),
        namer=_namer(study),
        without=without,
        trained=trained,
        drawn=study.drawn,
        signs=_signs(study, without or trained, figure3),
        seen=_seen(study) if knows_species else "",
        unchecked=_unchecked(study),
        mismatched=None if knows_species or learnt_from_originals is None else _worst(learnt_from_originals),
        apart=grouped,
        background=_background(study),
        fusion=_fusion(study),
    )


def _background(study: Study) -> str:
    """How much of the accuracy is background: BG-Gap of who answers without training, else of heads on originals."""
    path = study.out / reliance.NAMES["gap"]
    if not path.is_file():
        return ""
    frame = _numbers(read_frame(path, reliance.GAP), reliance.GAP[2:])
    frame = frame[frame["species"] == ""].set_index("learnt_from")
    who = {reliance.MASKED_OUTPUTS: "the classifier", "original": "a head that learnt from originals"}
    asked = [name for name in who if name in frame.index]
    if not asked:
        return ""
    row = frame.loc[asked[0]]
    interval = words.interval(row["lo"], row["hi"])
    seen = f"{who[asked[0]]} names {words.more(row['gap'])} right than on those of others ({interval})"
    return f"On backgrounds of a fish's own species {seen}. {reliance.meaning(row)}"


def _fusion(study: Study) -> str:
    """Whether the mask inside the network, or two inputs together, are worth it."""
    path = study.out / fusions.NAME
    if not path.is_file():
        return ""
    frame = _numbers(read_frame(path, fusions.RANKED), ["k", "difference", "difference_lo", "difference_hi", "p_holm"])
    frame["best"] = frame["best"] == "True"
    return fusions.said(frame) if len(frame) else ""


def _cutter(study: Study) -> str:
    """Whose masks these are, in a sentence."""
    if study.method == "truth":
        return "true masks"
    return segmenters.label(study.method, study.profile.segmenters.get(study.method, {}))


def _inputs(
    study: Study, shares: pd.DataFrame, draws: pd.DataFrame, pretraining: str | None, grouped: bool
) -> pd.DataFrame:
    """inputs.COLUMNS: without further training or with half-splits, then heads that learnt from the most photos."""
    knows_species = study.classifier is not None
    ways = []
    if len(shares):
        ways.append(inputs.of_answers(shares, inputs.WITHOUT if knows_species else inputs.FROM_ORIGINALS))
    if not knows_species and (study.out / halves.SHARES).is_file():
        fair = read_frame(study.out / halves.SHARES, halves.SHARE_COLUMNS)
        fair = _numbers(fair, ["n", "micro_f1"])
        same = inputs.of_halves(fair, halves.SAME, inputs.FROM_SAME, grouped)
        from_originals = inputs.of_halves(fair, halves.ORIGINALS, inputs.FROM_ORIGINALS, grouped)
        ways = [same, from_originals]  # the fair question first; table 2's own split is one of these
    mine = draws[draws["pretraining"] == pretraining]
    if len(mine):
        most = int(mine["k"].max())
        way = f"with {most} photo{'' if most == 1 else 's'} of each species to learn from"
        ways.append(inputs.of_draws(mine[mine["k"] == most], way, grouped))
    return pd.concat(ways, ignore_index=True) if ways else pd.DataFrame(columns=inputs.COLUMNS)


def _of_shots(study: Study, figure3: pd.DataFrame, draws: pd.DataFrame) -> verdict.Asked | None:
    """Heads that learnt from the most photos a species, of the pre-training nearest to the study's namer."""
    label = _pretraining(study, figure3)
    if label is None:
        return None
    family = figure3[figure3["pretraining"] == label]
    most = int(family["k"].max())
    mine = draws[(draws["pretraining"] == label) & (draws["k"] == most)]
    percent = (100 * mine["n_correct"] / mine["n_test"]).groupby(mine["variant"]).mean()
    rows = family[family["k"] == most]
    frame = pd.DataFrame(
        {
            "variant": rows["variant"],
            "n": int(mine["n_test"].max()),
            "n_groups": pd.NA,
            "percent": rows["variant"].map(percent),
            "percent_against": percent["original"],
            "difference": rows["mean"],
            "lo": rows["lo"],
            "hi": rows["hi"],
            "p_holm": rows["p_holm"],
        }
    )
    return verdict.asked(frame, learnt_from=most, draws=int(rows["n"].iloc[0]), comparisons=len(family))


def _worst(learnt_from_originals: pd.DataFrame) -> verdict.Contrast:
    """The input that heads which learnt from originals alone know least. In: rows of contrasts.COLUMNS."""
    [row] = learnt_from_originals.nsmallest(1, "difference").to_dict("records")
    numbers = ["percent", "percent_against", "difference", "lo", "hi", "p_holm"]
    return verdict.Contrast(row["variant"], **{name: float(row[name]) for name in numbers})


def _choices(study: Study, figure3: pd.DataFrame) -> dict[int, verdict.Verdict]:
    """K -> which input to learn from, of the pre-training that the verdict tells of."""
    label = _pretraining(study, figure3)
    if label is None or not (study.out / shots.CHOICES).is_file():
        return {}
    frame = read_frame(study.out / shots.CHOICES, shots.CHOICE_COLUMNS)
    frame = _numbers(frame[frame["pretraining"] == label], ["k", "n", "percent", "difference", "lo", "hi", "p_holm"])
    frame["best"] = frame["best"] == "True"
    answers = {}
    for k, rows in frame.groupby("k"):
        answers[int(k)] = verdict.choice(int(k), rows, int(rows["n"].iloc[0]), study.drawn)
    return answers


def _pretraining(study: Study, figure3: pd.DataFrame) -> str | None:
    return shots.nearest_pretraining(study, list(dict.fromkeys(figure3["pretraining"])))


def _signs(study: Study, way: verdict.Asked | None, figure3: pd.DataFrame) -> tuple[verdict.Sign, ...]:
    """The difference of the input that the verdict tells of, with every namer of the run: the study's own, then heads
    on each pre-training of figure 3 at its largest K; and with every rival's masks, the study's own namer."""
    if way is None:
        return ()
    cutter = _cutter(study)
    told = verdict.headline(way)
    signs = []
    if way.learnt_from in (None, verdict.HALF):
        signs.append(verdict.Sign(cutter, _namer(study), told.difference))
        signs += [verdict.Sign(rival, _namer(study), points) for rival, points in cutters.read(study, told.variant)]
    rows = figure3[(figure3["variant"] == told.variant) & (figure3["k"] == figure3["k"].max())]
    for row in rows.to_dict("records"):
        head = f"a head that learnt from K = {row['k']:.0f} photos on {_weights(row['pretraining'])}"
        signs.append(verdict.Sign(cutter, head, float(row["mean"])))
    return tuple(signs)


def _weights(pretraining: str) -> str:
    """What a label of figure 3 means, in words."""
    known = {"none": "random weights", "imagenet": "ImageNet's weights", "specimen": "the weights of drawn specimens"}
    return known.get(pretraining, f"the weights {pretraining}")


def _namer(study: Study) -> str:
    try:
        named = inference.judge(study)
    except UserError:  # the checkpoint is gone since
        named = Path(str(study.classifier)).name
    return named if study.classifier else f"a {named}"


def _seen(study: Study) -> str:
    """The word `had` where the classifier's training had some of these photos, `may` where nobody knows."""
    if study.classifier in checkpoints.ZOO:
        return ""  # trained on drawn specimens
    path = study.out / "manifest.csv"
    try:
        hashes = checkpoints.told(checkpoints.existing(study.classifier)).get("training_hashes")
    except UserError:
        return "may"
    if not hashes or not path.is_file():
        return "may"
    shown = set(manifest.read_manifest(path)["sha256"])
    return "had" if shown & set(hashes) else ""


def _unchecked(study: Study) -> tuple[str, ...]:
    """What nobody looked at: the cut-outs, where there are neither true masks nor verdicts; the photos, where there are
    no decisions."""
    if study.drawn:
        return ()
    unchecked = []
    judged = reviews.read(study.out / reviews.FILE)
    if study.masks is None and study.method not in set(judged["method"]):
        unchecked.append("the cut-outs")
    if curation.read_decisions(manifest.decisions_file(study)).empty:
        unchecked.append("the photos")
    return tuple(unchecked)
