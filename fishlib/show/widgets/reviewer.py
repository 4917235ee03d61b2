"""Verdicts on cut-outs by eye, as the paper's table 1 was made (section 4.2)."""

import itertools
from types import MappingProxyType

import ipywidgets as w
import numpy as np

from fishlib.errors import UserError
from fishlib.photos import composite, curation, masks
from fishlib.removal import reviews, segmenters, segments
from fishlib.show import cases, views
from fishlib.show.widgets.common import Judge, Queue
from fishlib.show.widgets.detail import DETAIL, outlined
from fishlib.study import Study


class MaskReviewer(Judge):
    """Good, bad or unsure for every mask of every method, in an order shuffled by the seed.

    run: a Study or a run folder; methods: all without; blind: the method's name stays hidden. Verdicts go to
    reviews.csv of the run, one row a photo, method and reviewer, after every key; what others said there stays.
    Photos without a mask are not asked: nothing is cut out of them.
    """

    answers = MappingProxyType(dict(zip("gbu", reviews.VERDICTS, strict=True)))
    title = "Is roughly only the fish cut out? A lost piece of fin still counts."

    def __init__(self, run, reviewer: str = "A", methods: list[str] | None = None, blind: bool = True, seed: int = 0):
        self.methods, self.seed = methods, seed
        self.reviewer = w.Text(reviewer, description="reviewer", continuous_update=False)
        self.blind = w.Checkbox(blind, description="hide the method", indent=False)
        super().__init__(run, self.reviewer, self.blind)
        self.reviewer.observe(self._changed, "value")
        self.blind.observe(self._changed, "value")

    def _changed(self, change) -> None:
        if change["owner"] is self.reviewer:
            self.reload()
        else:
            self.refresh()
        self.field.focus()  # what is typed next is an answer

    @property
    def file(self):
        return self.study.out / reviews.FILE

    def queue(self) -> Queue:
        cuts = []
        for method in self.methods or cases.methods(self.study):
            index = cases.index(self.study, method)
            cuts += [(photo_id, method) for photo_id in index[index.status == segmenters.OK].photo_id]
        order = np.random.default_rng(self.seed).permutation(len(cuts))

        known = reviews.read(self.file)
        mine = known[known.reviewer == self.reviewer.value.strip()]
        verdicts = mine.set_index(reviews.CUT).verdict.to_dict()
        said = {}
        for photo_id, method in cuts:
            if verdict := verdicts.get((curation.plain(photo_id), method)):
                said[photo_id, method] = verdict
        return Queue([cuts[i] for i in order], said, self.write)

    def write(self, cut: tuple[str, str], verdict: str | None) -> None:
        """Put one verdict into reviews.csv, or take it out (None)."""
        if not self.reviewer.value.strip():
            raise UserError("a verdict needs its reviewer; enter a name first.")
        reviews.put(self.file, cut, self.reviewer.value, verdict)

    def picture(self, cut: tuple[str, str]) -> str:
        photo_id, method = cut
        name = "" if self.blind.value else views.method_label(self.study, method)
        return cut_out(self.study, photo_id, method, name)

    def extra(self) -> str:
        # while the method is hidden: which of its counts grows would tell it
        return super().extra() + verdicts(self.study, methods=not self.blind.value)


def cut_out(study: Study, photo_id: str, method: str, name: str) -> str:
    """HTML: a photo with the outline of a method's mask, and what it cuts out, for a verdict by eye; no truth."""
    picture = views.thumbnail(study, photo_id, DETAIL)
    mask = segments.read_mask(study, method, cases.index(study, method).loc[photo_id])
    cut = composite.fill(picture, masks.resize_mask(mask, picture.shape[:2]), (128, 128, 128))
    images = {
        "outline found": views.source(outlined(study, picture, photo_id, method, truth=False)),
        f"cut out {name}": views.source(cut),
    }
    return views.html("look", study, images=images, hints=[], name="")


def verdicts(study: Study, methods: bool = True) -> str:
    """HTML: how often each reviewer said what, of each method if wanted, and how far every two of them agree."""
    said = reviews.read(study.out / reviews.FILE)
    said["label"] = [views.method_label(study, method) for method in said.method]
    who = ["label", "reviewer"] if methods else ["reviewer"]
    counts = said.groupby([*who, "verdict"]).size().unstack(fill_value=0)
    rows = counts.reindex(columns=list(reviews.VERDICTS), fill_value=0).reset_index().to_dict("records")
    pairs = itertools.combinations(sorted(said.reviewer.unique()), 2)
    both = [{"pair": pair, **reviews.agreement(said, *pair)} for pair in pairs]
    return views.html("verdicts", study, file=reviews.FILE, rows=rows, methods=methods, pairs=both)
