"""Everything that notebook 05 computes, once, for a run that has its photos and masks at hand."""

import pandas as pd

from fishlib.beyond import (
    backgrounds,
    companions,
    cutters,
    evidence,
    fusions,
    halves,
    kshots,
    reliance,
    shots,
    sureness,
)
from fishlib.errors import NotRun, UserError
from fishlib.naming import sweep
from fishlib.photos.composite import BASIC
from fishlib.photos.manifest import curated
from fishlib.removal import segmenting
from fishlib.study import Study, keep_notes


def run(study: Study) -> evidence.Evidence:
    """The evidence of the run, with what it rests on: companions, fair half-splits, figure 3 without companions, what
    the naming leans on, masks inside the network, and the rivals' masks.

    What an earlier notebook did not leave is not computed here, but left out and named. Keeps tables in the folder
    beyond/ of the run, and notes for the report. What is cached is not computed again.
    """
    photos = curated(study)
    groups, notes = companions.find(study, photos)
    try:
        found = segmenting.run(study, study.method, photos)
        notes += _halves(study, photos, found, groups)
        _shots(study, photos, found, groups)
    except (NotRun, UserError) as error:
        notes.append(f"Left out: {error}")
    for ask in (leaning, inside):  # shown further down; the verdict tells of them
        ask(study)
    answer = evidence.of(study)
    if answer.verdict is not None and answer.verdict.variant in BASIC:
        _, left_out = cutters.run(study, photos, answer.verdict.variant, groups)
        notes += left_out
        answer = evidence.of(study)  # now with the rivals' signs
    evidence.write(study, answer)
    keep_notes(study, "beyond", [*notes, *answer.notes])
    return answer._replace(notes=[*notes, *answer.notes])


def sure(study: Study) -> tuple[sureness.Sure | None, list[str]]:
    """(how sure a name is, see sureness.run, or None; notes). None where nothing was named, or too little."""
    if not (study.out / "predictions.csv").is_file():
        return None, ["predictions.csv is not there, so how sure a name is cannot be said; run notebook 03."]
    photos = curated(study)
    try:
        found = segmenting.run(study, study.method, photos)
        groups = companions.of(companions.read(study), photos["photo_id"])
        answer = sureness.run(study, photos, found, groups)
    except (NotRun, UserError) as error:
        return None, [f"How sure a name is, left out: {error}"]
    notes = [note for note in answer.notes if note]
    keep_notes(study, "sure", notes)
    return answer, notes


def heads(study: Study, variant: str) -> kshots.Shots | None:
    """Both heads on K photos a species (see kshots.run); None where figure 3 has nothing to stand beside."""
    if not (study.out / "tables" / "figure3.csv").is_file():
        return None
    photos = curated(study)
    found = kshots.run(study, photos, segmenting.run(study, study.method, photos), variant)
    return found if len(found.frame) else None


def leaning(study: Study) -> tuple[reliance.Reliance | None, list[str]]:
    """(what the naming leans on, see reliance.run, or None; notes). None where it cannot be asked: no masks, say."""
    return backgrounds.run(study)


def inside(study: Study) -> tuple[pd.DataFrame | None, list[str]]:
    """(fusions.RANKED of the network that is asked about backgrounds, or None; notes, kept for the report)."""
    if not (study.out / "tables" / "figure3.csv").is_file():
        return None, ["Figure 3 is not there, so nothing can stand beside its inputs; run notebook 04."]
    photos = curated(study)
    groups = companions.of(companions.read(study), photos["photo_id"])
    try:
        found = segmenting.run(study, study.method, photos)
        frame, notes = fusions.run(study, photos, found, backgrounds.source(study), groups)
    except (NotRun, UserError) as error:
        frame, notes = None, [f"The mask inside the network, left out: {error}"]
    keep_notes(study, "fusions", notes)
    return frame if frame is not None and len(frame) else None, notes


def _halves(study: Study, photos: pd.DataFrame, found: pd.DataFrame, groups: pd.Series | None) -> list[str]:
    """Where heads stand in for a classifier that knows the species: fair ones, beside those of tables 2 to 4."""
    if study.classifier is not None or not (study.out / "predictions.csv").is_file():
        return []
    _, _, notes = halves.run(study, photos, found, groups)
    return notes


def _shots(study: Study, photos: pd.DataFrame, found: pd.DataFrame, groups: pd.Series | None) -> None:
    if not (study.out / "tables" / "figure3.csv").is_file():
        return
    results, asked, _ = sweep.answers(study, photos, found)
    if groups is not None:
        results = shots.leave_out(results, asked, groups)
    shots.keep(study, results, apart=groups is not None)
