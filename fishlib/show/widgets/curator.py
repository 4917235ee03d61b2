"""Which photos show exactly one whole fish, as the paper's 601 were chosen (section 4.1)."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType

import pandas as pd

from fishlib.files import frames
from fishlib.photos import curation
from fishlib.photos.manifest import curated, decisions_file
from fishlib.removal import segments
from fishlib.show import cases, views
from fishlib.show.widgets.common import Judge, Queue
from fishlib.study import Study


class Curator(Judge):
    """Yes, no or unsure for every readable photo, those with a hint first.

    run: a Study or a run folder; hints: as `hints` gives them, computed without; photos: the manifest before
    curation, without the run's own with what curation excluded. Answers go to curation.csv of the run after every
    key, together with those that lay beside the photos; notebook 01 applies them.
    """

    answers = MappingProxyType(dict(zip("ynu", curation.ANSWERS, strict=True)))
    title = "Exactly one fish, its whole body in view?"

    def __init__(self, run, hints: pd.DataFrame | None = None, photos: pd.DataFrame | None = None):
        self.hints, self.photos = hints, photos
        super().__init__(run)

    @property
    def file(self):
        return self.study.out / "curation.csv"

    def queue(self) -> Queue:
        photos = curated(self.study) if self.photos is None else self.photos
        taken_back = photos.reason == "curation: no"  # may be answered anew
        photos = photos.assign(status=photos.status.mask(taken_back, "ok"))
        if self.hints is None:
            self.hints = hints(self.study, photos)
        noticed = self.hints.groupby("photo_id").hint.agg(list).to_dict()
        self.said = {photo_id: noticed.get(photo_id, []) for photo_id in photos[photos.status == "ok"].photo_id}
        items = sorted(self.said, key=lambda photo_id: not self.said[photo_id])  # those with a hint first

        decisions = curation.read_decisions(decisions_file(self.study))
        known = dict(zip(decisions.photo_id.map(curation.plain), decisions.one_whole_fish, strict=True))
        answers = {}
        for photo_id in items:
            if answer := known.get(curation.plain(photo_id)):
                answers[photo_id] = answer
        return Queue(items, answers, self.write)

    def write(self, photo_id: str, answer: str | None) -> None:
        """Put one answer into curation.csv, or take it out (None); notes of other rows and of this one stay."""

        def with_answer() -> pd.DataFrame:
            kept = curation.read_decisions(decisions_file(self.study))
            mine = kept.photo_id.map(curation.plain) == curation.plain(photo_id)
            note = next(iter(kept.note[mine]), "")
            new = pd.DataFrame([[photo_id, answer, note]] if answer else [], columns=curation.COLUMNS)
            return pd.concat([kept[~mine], new])

        frames.rewrite(self.file, with_answer)

    def picture(self, photo_id: str) -> str:
        return whole_photo(self.study, photo_id, self.said[photo_id])


def whole_photo(study: Study, photo_id: str, hints: list[str]) -> str:
    """HTML: one photo, its name and what a program noticed."""
    picture = views.source(views.jpeg(study, photo_id, 640))
    return views.html("look", study, images={photo_id: picture}, hints=hints, name=photo_id)


def hints(study: Study, photos: pd.DataFrame, seen: pd.DataFrame | None = None) -> pd.DataFrame:
    """curation.hints with all that is there: the true masks, else those an earlier run left, its boxes, thumbnails.
    photos: a manifest; seen: the index of the true masks if they have just been read."""
    method = "truth" if study.masks else study.method
    if seen is None:
        seen = cases.index(study, method).reset_index(drop=True)
    with ThreadPoolExecutor() as pool:  # decoding is what takes long
        list(pool.map(partial(views.jpeg, study), photos[photos.status == "ok"].photo_id))

    def boxes(photo_id: str) -> list:
        return segments.why(study, study.method, photo_id).get("boxes", [])

    return curation.hints(
        photos,
        seen,
        read_mask=partial(segments.read_mask, study, method),
        look=partial(views.thumbnail, study),
        boxes=boxes,
    )
