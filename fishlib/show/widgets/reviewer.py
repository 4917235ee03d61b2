"""Verdicts on cut-outs by eye, as the paper's table 1 was made (section 4.2)."""

import itertools
from types import MappingProxyType

import ipywidgets as w
import numpy as np

from fishlib.errors import UserError
from fishlib.photos import composite, curation, masks
from fishlib.removal import reviews, segmenters, segments
from fishlib.scores import evaluation
from fishlib.show import cases, views
from fishlib.show.widgets.common import Judge, Queue
from fishlib.show.widgets.detail import DETAIL, outlined
from fishlib.study import Study

SAMPLES = (30, 60, 120)  # photos a sample offers
ALL = 0  # no number of photos; a menu shows nothing where its value is None
ZOOMED = 1280  # px, long side of the photo that is zoomed into


class MaskReviewer(Judge):
    """Good, bad or unsure for every mask of every method, in an order shuffled by the seed.

    run: a Study or a run folder; methods: all without; blind: the method's name stays hidden; sample: how many photos,
    drawn by the seed and the same for every method, None for all. Verdicts go to reviews.csv of the run, one row a
    photo, method and reviewer, after every key; what others said there stays. Photos without a mask are not asked:
    nothing is cut out of them.
    """

    answers = MappingProxyType(dict(zip("gbu", reviews.VERDICTS, strict=True)))
    title = "Is roughly only the fish cut out? A lost piece of fin still counts."

    def __init__(
        self,
        run,
        reviewer: str = "A",
        methods: list[str] | None = None,
        blind: bool = True,
        seed: int = 0,
        sample: int | None = None,
    ):
        self.methods, self.seed = methods, seed
        self.reviewer = w.Text(reviewer, description="reviewer", continuous_update=False)
        sizes = dict.fromkeys([*SAMPLES, sample] if sample else SAMPLES)
        options = [("all photos", ALL), *((f"a random {n} photos", n) for n in sizes)]
        self.sample = w.Dropdown(options=options, value=sample or ALL, description="of")
        self.blind = w.Checkbox(blind, description="hide the method", indent=False)
        self.zoom = w.Checkbox(False, description="zoom on the outline", indent=False)
        super().__init__(run, self.reviewer, self.sample, self.blind, self.zoom)
        for control in (self.reviewer, self.sample):
            control.observe(lambda _: self.reload(), "value")
        for control in (self.blind, self.zoom):
            control.observe(lambda _: self.refresh(), "value")

    @property
    def file(self):
        return self.study.out / reviews.FILE

    def queue(self) -> Queue:
        photos = self._photos()
        cuts = []
        for method in self.methods or cases.methods(self.study):
            index = cases.index(self.study, method)
            asked = index.photo_id.isin(photos) & (index.status == segmenters.OK)
            cuts += [(photo_id, method) for photo_id in index[asked].photo_id]
        order = np.random.default_rng(self.seed).permutation(len(cuts))

        known = reviews.read(self.file)
        mine = known[known.reviewer == self.reviewer.value.strip()]
        verdicts = mine.set_index(reviews.CUT).verdict.to_dict()
        said = {}
        for photo_id, method in cuts:
            if verdict := verdicts.get((curation.plain(photo_id), method)):
                said[photo_id, method] = verdict
        return Queue([cuts[i] for i in order], said, self.write)

    def _photos(self) -> set[str]:
        """The photos whose cut-outs are asked about: all that count, or a sample that no method's result decides."""
        index = cases.index(self.study, self.study.method)
        counted = sorted(index[index.status.isin(evaluation.COUNTED)].photo_id)
        if self.sample.value == ALL or self.sample.value >= len(counted):
            return set(counted)
        return set(np.random.default_rng(self.seed).choice(counted, self.sample.value, replace=False))

    def write(self, cut: tuple[str, str], verdict: str | None) -> None:
        """Put one verdict into reviews.csv, or take it out (None)."""
        if not self.reviewer.value.strip():
            raise UserError("a verdict needs its reviewer; enter a name first.")
        reviews.put(self.file, cut, self.reviewer.value, verdict)

    def picture(self, cut: tuple[str, str]) -> str:
        photo_id, method = cut
        name = "" if self.blind.value else views.method_label(self.study, method)
        return cut_out(self.study, photo_id, method, name, self.zoom.value)

    def extra(self) -> str:
        # while the method is hidden: which of its counts grows would tell it
        said = verdicts(self.study, methods=not self.blind.value)
        return f"{self._promise()} {super().extra()}{said}"

    def static(self) -> str:
        return verdicts(self.study)

    def _promise(self) -> str:
        """How sure a share of so many photos can be."""
        n = len(self._photos())
        lo, hi = evaluation.wilson(round(0.9 * n), n)
        return f"{n} photos a method: if 90 % are well cut, the 95 % interval is {lo:.0f} to {hi:.0f} %."


def cut_out(study: Study, photo_id: str, method: str, name: str, zoom: bool = False) -> str:
    """HTML: a photo with the outline of a method's mask, and what it cuts out, for a verdict by eye; no truth.

    zoom: only what lies round the mask, from a picture of ZOOMED px, so that its rim can be seen.
    """
    picture = views.thumbnail(study, photo_id, ZOOMED if zoom else DETAIL)
    mask = segments.read_mask(study, method, cases.index(study, method).loc[photo_id])
    mask = masks.resize_mask(mask, picture.shape[:2])
    seen = outlined(study, picture, photo_id, method, truth=False)
    cut = composite.fill(picture, mask, (128, 128, 128))
    box = masks.box_of(mask) if zoom else None
    if box is not None:
        x0, y0, x1, y1 = composite.crop_window(box, *picture.shape[:2], 0.05)
        seen = np.ascontiguousarray(seen[y0:y1, x0:x1])
        cut = np.ascontiguousarray(cut[y0:y1, x0:x1])
    images = {"outline found": views.source(seen), f"cut out {name}": views.source(cut)}
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
