"""The questions about backgrounds, asked of a run: whose masks, which network, and what is left out."""

from dataclasses import replace

from fishlib.beyond import companions, reliance
from fishlib.beyond.shelf import Shelf, with_masks
from fishlib.errors import NotRun, UserError
from fishlib.naming import features, inference
from fishlib.photos.manifest import curated
from fishlib.removal import segmenters, segmenting
from fishlib.study import Study, keep_notes

TRUTH = "truth"


def run(study: Study) -> tuple[reliance.Reliance | None, list[str]]:
    """(what the naming leans on, see reliance.run, or None where it cannot be asked; notes, kept for the report)."""
    try:
        question, notes = asked(study)
        answer = reliance.run(question, source(study))
    except (NotRun, UserError) as error:
        answer, notes = None, [f"What the naming leans on, left out: {error}"]
    keep_notes(study, "backgrounds", notes)
    return answer, notes


def source(study: Study) -> str:
    """The network that is asked: the classifier, else what heads learn on in table 2 (see naming.features)."""
    return study.classifier or inference.features_source(study)


def cutter(study: Study) -> Study:
    """The study with the method whose masks tell fish from background: the truth's where there are any."""
    return study if study.masks is None else replace(study, method=TRUTH)


def asked(study: Study) -> tuple[reliance.Question, list[str]]:
    """The question to the photos of a run that have masks, true ones where there are any; and notes.

    UserError where too few have.
    """
    photos = curated(study)
    groups = companions.of(companions.read(study), photos["photo_id"])
    of_masks = cutter(study)
    found = segmenting.run(of_masks, of_masks.method, photos)
    usable, _ = features.usable(photos, found)
    there, notes = with_masks(usable, found)
    notes = [whose(of_masks), *notes]
    question, left_out = reliance.question(Shelf(of_masks, there), groups)
    return question, notes + left_out


def whose(study: Study) -> str:
    """Whose masks tell fish from background, in a sentence."""
    if study.method == TRUTH:
        return "True masks tell fish from background."
    name = segmenters.label(study.method, study.profile.segmenters.get(study.method, {}))
    return f"There are no true masks: those of {name} tell fish from background, mistakes included."
