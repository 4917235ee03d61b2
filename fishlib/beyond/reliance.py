"""How much of the naming leans on backgrounds: Xiao et al. 2020, "Noise or Signal", and controls of outline and fill.

Every answer is about photos that no head learnt from, on backgrounds of such photos alone (see donors). BG-Gap is the
share right on backgrounds of the own species minus that on backgrounds of others: what a background adds by telling the
species. The donor alone, its fish filled and none pasted, shows what the fill itself tells.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.beyond import donors, looks, pictures, resampled
from fishlib.beyond.looks import Look
from fishlib.beyond.shelf import Shelf
from fishlib.errors import UserError
from fishlib.files.frames import write_frame
from fishlib.naming import checkpoints, inference
from fishlib.photos.matching import match_classes
from fishlib.scores import evaluation, intervals

MASKED_OUTPUTS = "masked outputs"  # in the place of what a head learnt from
LEARNT_FROM = ("original", "mask", "mixed_rand")
ASKED = ("original", "mask", "only_bg_b", "only_bg_t", "no_fg", "background")
MIXED = {"mixed_same": donors.SAME, "mixed_rand": donors.RAND}
FILLS = ("mask", "mask_white", "mean", "blur", "noise")  # flat colours of table 3 are two here, Mask's black and white
CONTROLS = ("original", *FILLS, "other_mask", "silhouette", "background")
RIGHT = ["learnt_from", "asked", "species", "n", "percent", "lo", "hi"]  # species "": all of them
GAP = ["learnt_from", "species", "n", "same", "rand", "gap", "lo", "hi"]
NAMES = {"right": "beyond/backgrounds.csv", "gap": "beyond/bg_gap.csv", "controls": "beyond/controls.csv"}
DONORS = "beyond/donors.csv"
TO_LEARN = 2  # backgrounds of others for each photo that a head learns Mixed-Rand from


class Question(NamedTuple):
    """Who is asked about what: photo_ids that heads learn from (species: of all of them), and that are judged, both in
    order; hosts and donors of the judged ones and of those that are learnt (donors.COLUMNS); groups of photos or
    None."""

    shelf: Shelf
    learn: list[str]
    ask: list[str]
    donors: pd.DataFrame
    donors_to_learn: pd.DataFrame
    partners: dict[str, str]
    groups: pd.Series | None

    @property
    def species(self) -> list[str]:
        return sorted({self.shelf.species(photo_id) for photo_id in self.learn})

    def labels(self, photo_ids: list[str]) -> np.ndarray:
        """Int (N,), places in `species`."""
        place = {name: at for at, name in enumerate(self.species)}
        return np.array([place[self.shelf.species(photo_id)] for photo_id in photo_ids], dtype=int)


class Reliance(NamedTuple):
    """right: RIGHT of heads and masked outputs. gap: GAP. controls: RIGHT, where what was asked was learnt from."""

    right: pd.DataFrame
    gap: pd.DataFrame
    controls: pd.DataFrame
    notes: list[str]


def question(shelf: Shelf, groups: pd.Series | None) -> tuple[Question, list[str]]:
    """The seeded split and donors of a shelf's photos, and notes on what is left out of them.

    Of each species at most profile.beyond.learnt_from photos are learnt from and profile.beyond.asked judged; donors of
    the judged ones are all that could have been. UserError where fewer than two species can be split.
    """
    seed, settings = shelf.study.profile.seed, shelf.study.profile.beyond
    learn, could_be_asked, left_out = donors.split(shelf.photos, seed, groups)
    if len({shelf.species(photo_id) for photo_id in learn}) < 2:
        raise UserError("Fewer than two species have two photos with masks; nothing can be asked about backgrounds.")
    learn = shelf.subset(learn, settings.learnt_from)
    ask = shelf.subset(could_be_asked, settings.asked)
    notes = []
    if left_out:
        notes.append(f"Left out of the questions about backgrounds, which cannot be split: {', '.join(left_out)}.")
    asked, learnt = shelf.rows(could_be_asked), shelf.rows(learn)
    lent = donors.choose(asked, seed, groups)
    lent = lent[lent["photo_id"].isin(ask)].reset_index(drop=True)
    partners = donors.partner(asked, seed, groups) | donors.partner(learnt, seed, groups)
    of_kind = lent.groupby(["photo_id", "kind"]).size().unstack(fill_value=0).reindex(ask, fill_value=0)
    few = of_kind.reindex(columns=[donors.SAME, donors.RAND], fill_value=0).min(axis=1)
    alone = few.index[few == 0].tolist()
    if alone:
        notes.append(f"Without a donor of their own species or of another, so not in BG-Gap: {_named(alone)}.")
    fewer = int(((few > 0) & (few < donors.DONORS)).sum())
    if fewer:
        notes.append(f"{fewer} of {len(ask)} photos have fewer than {donors.DONORS} donors of a kind.")
    of_learnt = donors.choose(learnt, seed, groups, count=TO_LEARN)
    return Question(shelf, learn, ask, lent, of_learnt, partners, groups), notes


def run(asked: Question, source: str) -> Reliance:
    """All answers of one network: source as naming.features has it. Keeps NAMES and DONORS in the run folder."""
    study = asked.shelf.study
    everybody_has = {*asked.learn, *asked.ask} <= {*asked.partners}
    controls = [name for name in CONTROLS if name != "other_mask" or everybody_has]
    values = _Features(asked, source)
    hosts = _hosts(asked)

    rows_of = resampled.draws(asked.labels(asked.learn), study.profile.seed)
    every = {name: values.asked(name) for name in ASKED}
    every |= {name: values.mixed(kind, hosts) for name, kind in MIXED.items() if hosts}

    right, gaps = [], []
    for learnt_from in LEARNT_FROM:
        if learnt_from == "mixed_rand":
            learnt, labels, rows = values.learnt_mixed(rows_of)
        else:
            learnt, labels, rows = values.learnt(learnt_from), asked.labels(asked.learn), rows_of
        named = resampled.answers(study, learnt, labels, rows, every)
        right += _right(asked, learnt_from, named, hosts)
        gaps += _gaps(asked, learnt_from, named, hosts)
    if study.classifier is not None and source == study.classifier:
        named = _masked_outputs(asked, every)
        right += _right(asked, MASKED_OUTPUTS, named, hosts)
        gaps += _gaps(asked, MASKED_OUTPUTS, named, hosts)

    of_controls = []
    for name in controls:
        learnt, labels = values.learnt(name), asked.labels(asked.learn)
        named = resampled.answers(study, learnt, labels, rows_of, {name: values.asked(name)})
        of_controls += _right(asked, name, named, hosts)
    found = Reliance(
        pd.DataFrame(right, columns=RIGHT),
        pd.DataFrame(gaps, columns=GAP),
        pd.DataFrame(of_controls, columns=RIGHT),
        [],
    )
    for name, path in NAMES.items():
        write_frame(getattr(found, name), study.out / path)
    write_frame(asked.donors, study.out / DONORS)
    return found


def meaning(row) -> str:
    """What a row of GAP says, by its interval, in a sentence."""
    if np.isnan(row["lo"]):
        return "Without an interval it cannot be told from luck."
    if row["lo"] > 0:
        return "Backgrounds help it to name the species."
    if row["hi"] < 0:
        return "A background of its own species misleads it."
    return "No leaning on backgrounds is shown."


class _Features:
    """Features of the pictures of a question, each once through the network."""

    def __init__(self, asked: Question, source: str):
        self.question = asked
        self.source = source
        self.code = cache.code_version("fishlib.beyond.pictures", "fishlib.naming.features")

    def asked(self, name: str) -> np.ndarray:
        """Float32 (M, D) of the photos that are judged."""
        return self._of([self._look(name, photo_id) for photo_id in self.question.ask])

    def learnt(self, name: str) -> np.ndarray:
        """Float32 (N, D) of the photos that heads learn from."""
        return self._of([self._look(name, photo_id) for photo_id in self.question.learn])

    def mixed(self, kind: str, hosts: list[str]) -> np.ndarray:
        """Float32 (P, D): the hosts one after the other, each on the backgrounds of its donors of a kind."""
        return self._of(self._mixed(_pairs(self.question.donors, kind, hosts)))

    def learnt_mixed(self, rows_of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(float32 (P, D), labels int (P,), rows int (R, n)): the photos to learn from on backgrounds of one another;
        each head takes one of its donors for every photo that it drew (rows_of)."""
        learn = self.question.learn
        pairs = _pairs(self.question.donors_to_learn, donors.RAND, learn)
        hosts = [host for host, _ in pairs]
        first = {host: hosts.index(host) for host in dict.fromkeys(hosts)}
        count = {host: hosts.count(host) for host in first}
        random = np.random.default_rng(self.question.shelf.study.profile.seed)
        rows = []
        for drawn in rows_of:
            of_head = [learn[at] for at in drawn]
            rows.append([first[host] + random.integers(count[host]) for host in of_head])
        return self._of(self._mixed(pairs)), self.question.labels(hosts), np.array(rows)

    def _mixed(self, pairs: list[tuple[str, str]]) -> list[Look]:
        return [pictures.look(self.question.shelf, "mixed", host, donor) for host, donor in pairs]

    def _look(self, name: str, photo_id: str) -> Look:
        other = self.question.partners[photo_id] if name == "other_mask" else None
        return pictures.look(self.question.shelf, name, photo_id, other)

    def _of(self, wanted: list[Look]) -> np.ndarray:
        return looks.compute(self.question.shelf.study, wanted, self.source, self.code)


def _pairs(chosen: pd.DataFrame, kind: str, hosts: list[str]) -> list[tuple[str, str]]:
    """(host, donor) of a kind, the hosts in order."""
    of_host = chosen[chosen["kind"] == kind].groupby("photo_id")["donor"].agg(list)
    return [(host, donor) for host in hosts for donor in of_host.get(host, [])]


def _hosts(asked: Question) -> list[str]:
    """The photos that have donors of both kinds."""
    kinds = asked.donors.groupby("photo_id")["kind"].nunique()
    return [photo_id for photo_id in asked.ask if kinds.get(photo_id, 0) == len(MIXED)]


def _masked_outputs(asked: Question, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """name -> int (1, M): what the classifier itself names, its outputs of other species masked."""
    study = asked.shelf.study
    indices = list(match_classes(asked.species, checkpoints.classes(study.classifier)).values())
    logits, _ = inference.outputs(study, values, indices)
    return {name: logits[name].argmax(axis=1)[None] for name in values}


def _is_right(asked: Question, name: str, named: np.ndarray, hosts: list[str]) -> tuple[list[str], np.ndarray]:
    """(photo_ids, float (R, N)): how often each was named right, a mean over donors where there are several.

    named: int (R, M), a column a picture of that name.
    """
    if name not in MIXED:
        return asked.ask, (named == asked.labels(asked.ask)).astype(float)
    shown = [host for host, _ in _pairs(asked.donors, MIXED[name], hosts)]
    right = pd.DataFrame((named == asked.labels(shown)).T.astype(float), index=shown)
    return hosts, right.groupby(level=0).mean().loc[hosts].to_numpy().T


def _right(asked: Question, learnt_from: str, named: dict[str, np.ndarray], hosts: list[str]) -> list[tuple]:
    """RIGHT of every picture that was asked about, of all species and of each."""
    rows = []
    for name, answers in named.items():
        ids, right = _is_right(asked, name, answers, hosts)
        for species, mine in _by_species(asked, ids):
            percent, lo, hi = interval(right[:, mine], _groups(asked, ids, mine))
            lo, hi = np.clip([lo, hi], 0, 100)  # of a share
            rows.append((learnt_from, name, species, len(mine), percent, lo, hi))
    return rows


def _gaps(asked: Question, learnt_from: str, named: dict[str, np.ndarray], hosts: list[str]) -> list[tuple]:
    """GAP of all species and of each; none without hosts."""
    if not hosts:
        return []
    _, same = _is_right(asked, "mixed_same", named["mixed_same"], hosts)
    _, rand = _is_right(asked, "mixed_rand", named["mixed_rand"], hosts)
    rows = []
    for species, mine in _by_species(asked, hosts):
        gap, lo, hi = interval((same - rand)[:, mine], _groups(asked, hosts, mine), paired=True)
        means = 100 * same[:, mine].mean(), 100 * rand[:, mine].mean()
        rows.append((learnt_from, species, len(mine), *means, gap, lo, hi))
    return rows


def interval(right: np.ndarray, groups: list[str] | None = None, paired: bool = False) -> tuple[float, float, float]:
    """(mean, lo, hi) in percent of float (R, N), R heads and N photos: evaluation.two_way_interval over heads and
    photos, or groups; of a single head a bootstrap over photos or groups where it is a difference (paired), else no
    interval."""
    mean = 100 * float(right.mean())
    if len(right) == 1:
        if not paired:
            return mean, np.nan, np.nan
        lo, hi = intervals.paired_bootstrap(right.T, groups)
        return mean, float(lo[0]), float(hi[0])
    if groups is not None:
        sums = intervals.group_sums(right.T, groups).T  # (R, G); scaled, so that their mean is that over photos
        right = sums * sums.shape[1] / right.shape[1]
    found = evaluation.two_way_interval(right)
    return mean, found["lo"], found["hi"]


def _by_species(asked: Question, ids: list[str]) -> list[tuple[str, np.ndarray]]:
    """("", all columns), then every species with its columns."""
    species = np.array([asked.shelf.species(photo_id) for photo_id in ids])
    return [("", np.arange(len(ids))), *((name, np.flatnonzero(species == name)) for name in sorted(set(species)))]


def _groups(asked: Question, ids: list[str], mine: np.ndarray) -> list[str] | None:
    if asked.groups is None:
        return None
    return asked.groups.reindex([ids[at] for at in mine]).tolist()


def _named(photo_ids: list[str]) -> str:
    more = f" and {len(photo_ids) - 3} more" if len(photo_ids) > 3 else ""
    return f"{', '.join(photo_ids[:3])}{more}"
