"""Verdicts of made-up runs, word for word: tests/golden/verdict_*.txt are to be read by a person when they change."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fishlib.beyond import verdict as v
from fishlib.scores import contrasts

GOLDEN = Path(__file__).parent / "golden"


def paired(n, original, crop, mask, crop_mask, groups=None):
    """Asked without training: each input is (photos that only the original got right, that only it got right)."""
    rows = []
    for name, (only_original, only_variant) in {"crop": crop, "mask": mask, "crop_mask": crop_mask}.items():
        difference = 100 * (only_variant - only_original) / n
        half = 196 * math.sqrt(only_original + only_variant) / n
        rows.append(
            {
                "variant": name,
                "n": n,
                "n_groups": groups if groups else pd.NA,
                "percent": 100 * original / n + difference,
                "percent_against": 100 * original / n,
                "difference": difference,
                "lo": math.nan if groups and groups < 10 else difference - half,
                "hi": math.nan if groups and groups < 10 else difference + half,
                "only_against": only_original,
                "only_variant": only_variant,
                "p_value": contrasts.sign_flip([-1] * only_original + [1] * only_variant),
            }
        )
    frame = pd.DataFrame(rows)
    frame["p_holm"] = contrasts.holm(frame["p_value"])
    return v.asked(frame)


def learnt(n, k, original, **inputs):
    """Asked after learning: each input is (difference, half of its interval, corrected p)."""
    rows = [
        {
            "variant": name,
            "n": n,
            "n_groups": pd.NA,
            "percent": original + difference,
            "percent_against": original,
            "difference": difference,
            "lo": difference - half,
            "hi": difference + half,
            "p_holm": p_holm,
        }
        for name, (difference, half, p_holm) in inputs.items()
    ]
    return v.asked(
        pd.DataFrame(rows), learnt_from=k, draws=5 if k == v.HALF else 10, comparisons=3 if k == v.HALF else 15
    )


REAL = v.Run(cutter="GDINO-SAM", namer="Swin-T (museum photos)", unchecked=("the cut-outs",))
CLEAR = paired(601, 440, crop=(23, 31), mask=(28, 62), crop_mask=(25, 66))
HELPED = learnt(516, 5, 61.2, crop=(1.1, 2.4, 0.71), mask=(6.9, 3.1, 0.006), crop_mask=(8.4, 3.6, 0.003))
NOTHING = paired(601, 440, crop=(18, 23), mask=(24, 21), crop_mask=(26, 27))
SIGNS = (
    v.Sign("GDINO-SAM", "Swin-T", 6.8),
    v.Sign("SAM-CLIP", "Swin-T", 2.2),
    v.Sign("GDINO-SAM", "Lite0", 4.0),
    v.Sign("SAM-CLIP", "Lite0", -1.3),
)
SAME = tuple(replace(sign, difference=abs(sign.difference)) for sign in SIGNS)
RUNS = {
    "helps": replace(REAL, without=CLEAR, trained=HELPED, signs=SAME, unchecked=()),
    "helps_without_training": replace(REAL, without=CLEAR),
    "costs": replace(REAL, without=paired(301, 290, crop=(31, 12), mask=(40, 9), crop_mask=(58, 6))),
    "none": replace(REAL, without=NOTHING),
    "none_then_helps": replace(REAL, without=NOTHING, trained=HELPED, unchecked=()),
    "too_few": replace(REAL, without=paired(16, 11, crop=(2, 1), mask=(1, 3), crop_mask=(2, 3))),
    "mixed": replace(REAL, without=paired(409, 300, crop=(52, 14), mask=(12, 36), crop_mask=(30, 24))),
    "signs": replace(REAL, without=CLEAR, signs=SIGNS),
    "drawn": v.Run(
        cutter="GDINO-SAM (stand-in)",
        namer="EfficientNet-Lite0 (stand-in, drawn specimens)",
        without=paired(214, 155, crop=(48, 28), mask=(18, 20), crop_mask=(41, 27)),
        trained=learnt(129, 5, 55.3, crop=(15.1, 5.7, 0.0019), mask=(7.5, 5.5, 0.013), crop_mask=(15.3, 5.9, 0.0019)),
        drawn=True,
    ),
    "groups": replace(REAL, without=paired(312, 211, crop=(20, 25), mask=(14, 41), crop_mask=(17, 39), groups=24)),
    "few_groups": replace(REAL, without=paired(312, 211, crop=(20, 25), mask=(14, 41), crop_mask=(17, 39), groups=6)),
    "seen": replace(REAL, without=CLEAR, seen="may", unchecked=("the cut-outs", "the species names")),
    "trained_on_them": replace(REAL, without=CLEAR, seen="had", signs=SIGNS),
    "half": v.Run(
        cutter="GDINO-SAM",
        namer="a linear head on EfficientNet-Lite0 (ImageNet)",
        trained=learnt(409, v.HALF, 93.8, crop=(-1.5, 2.1, 0.5), mask=(0.4, 1.6, 1.0), crop_mask=(-1.5, 2.3, 0.5)),
        mismatched=v.Contrast("crop_mask", 45.7, 99.3, -53.6, -58, -49, 1e-9),
        unchecked=("the cut-outs",),
    ),
}
INPUTS = ["original", "crop", "mask", "crop_mask"]
CHOICES = {
    "choice_tied": v.choice(
        5,
        pd.DataFrame(
            {
                "variant": INPUTS,
                "percent": [93.8, 88.3, 94.2, 92.3],
                "best": [False, False, True, False],
                "difference": [0.4, 5.9, 0, 1.9],
                "lo": [-1.3, 2.2, math.nan, -0.9],
                "hi": [2.1, 9.6, math.nan, 4.7],
                "p_holm": [1, 0.014, math.nan, 0.71],
            }
        ),
        n=409,
    ),
    "choice_one": v.choice(
        1,
        pd.DataFrame(
            {
                "variant": INPUTS,
                "percent": [31.5, 45.7, 42.7, 54.9],
                "best": [False, False, False, True],
                "difference": [23.4, 9.2, 12.2, 0],
                "lo": [17.0, 3.1, 5.9, math.nan],
                "hi": [29.8, 15.3, 18.5, math.nan],
                "p_holm": [0.0001, 0.02, 0.004, math.nan],
            }
        ),
        n=197,
        drawn=True,
    ),
}
ANSWERS = {name: v.verdict(run) for name, run in RUNS.items()} | CHOICES


@pytest.mark.parametrize("name", ANSWERS)
def test_a_verdict_reads_as_a_person_read_it(name):
    assert v.text(ANSWERS[name]) == (GOLDEN / f"verdict_{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        ({"crop": (10, 60), "mask": (20, 20), "crop_mask": (20, 20)}, v.HELPS),
        ({"crop": (60, 10), "mask": (20, 20), "crop_mask": (20, 20)}, v.COSTS),
        ({"crop": (60, 10), "mask": (10, 60), "crop_mask": (20, 20)}, v.MIXED),
        ({"crop": (20, 20), "mask": (20, 20), "crop_mask": (20, 20)}, v.NONE),
    ],
)
def test_the_kind_of_a_verdict_is_what_is_shown(inputs, kind):
    assert v.kind(paired(400, 250, **inputs)) == kind
    assert v.kind(paired(400, 250, **inputs, groups=9)) == v.TOO_FEW_GROUPS


def test_few_photos_are_no_evidence_of_no_difference():
    assert v.kind(paired(12, 6, crop=(1, 1), mask=(0, 1), crop_mask=(1, 0))) == v.TOO_FEW


def test_effect_interval_and_number_are_those_of_what_is_told():
    told = v.verdict(replace(REAL, without=CLEAR))
    best = CLEAR.contrasts[2]
    assert (told.effect, told.interval, told.n) == (best.difference, (best.lo, best.hi), 601)
    assert v.verdict(RUNS["few_groups"]).interval is None


def test_a_run_that_asked_nothing_has_no_verdict():
    with pytest.raises(ValueError, match="needs answers"):
        v.verdict(REAL)


def test_drawn_fish_are_called_drawn_in_every_sentence_that_counts_them():
    answer = v.verdict(RUNS["drawn"]).answer
    assert answer.count("drawn fish") == 2
    assert "photos show" not in answer


@pytest.mark.parametrize("name", ["seen", "trained_on_them", "signs"])
def test_a_doubt_stands_in_the_first_sentence(name):
    first = v.verdict(RUNS[name]).answer.split(". ")[0]
    assert "; but the " in first


def test_backgrounds_and_fusions_are_among_what_it_rests_on():
    asked = "On backgrounds of a fish's own species the classifier names 9.4 points more right than on those of others."
    fused = "With 5 photos of each species the best single input is Mask; the profile asks for no other."
    run = v.Run("GDINO-SAM", "Swin-T", paired(600, 400, (9, 9), (9, 9), (9, 9)))
    told = v.verdict(replace(run, background=asked, fusion=fused)).rests_on
    assert told[told.index(asked) + 1] == fused
    assert asked not in v.verdict(run).rests_on
