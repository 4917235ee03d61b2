"""Which photos a head learns from, which it is asked about, and whose backgrounds these are shown on.

A head knows the backgrounds of the photos it learnt from: lent to other fish they would say "their" species, and a
naive gap comes out where backgrounds tell nothing. Donors are therefore photos that are asked about, like their hosts,
and of no group with them; no head learns from either.
"""

import hashlib

import numpy as np
import pandas as pd

from fishlib.photos import groups as grouping

DONORS = 5  # backgrounds of each kind that a photo is shown on
SAME, RAND = "same", "rand"  # of the host's species; of another, every species as likely
COLUMNS = ["photo_id", "kind", "donor"]


def split(photos: pd.DataFrame, seed: int, groups: pd.Series | None = None) -> tuple[list[str], list[str], list[str]]:
    """(photo_ids to learn from, to ask about, species left out): a seeded split of each species, no group on both
    sides.

    photos: photo_id and species. Asked about is half of a species, or DONORS + 1 photos where that is more, so that
    each has five donors of its own species; at least one photo is left to learn from, two where a species has four or
    more. A species of one photo is left out. With groups these go whole to one side, half and half
    (photos.groups.halves).
    """
    if groups is not None:
        return grouping.halves(photos, seed, groups, splits=1)[0]
    learn, ask, left_out = [], [], []
    for species, ids in sorted(photos.groupby("species")["photo_id"]):
        if len(ids) == 1:
            left_out.append(species)
            continue
        order = _random(seed, species).permutation(np.array(sorted(ids), dtype=object)).tolist()
        n_ask = max((len(order) + 1) // 2, min(DONORS + 1, len(order) - 2))
        n_ask = min(n_ask, len(order) - 1)
        learn += sorted(order[n_ask:])
        ask += sorted(order[:n_ask])
    return learn, ask, left_out


def choose(photos: pd.DataFrame, seed: int, groups: pd.Series | None = None, count: int = DONORS) -> pd.DataFrame:
    """COLUMNS: for every photo up to `count` donors of each kind, all of them among `photos`, none in the host's group.

    photos: photo_id and species. SAME: other photos of the species, in a seeded order. RAND: another species, drawn
    uniformly over species until each has come, and of it a photo, none twice. A host's donors hang on the seed and the
    ids alone; one without a donor of a kind has no row of it.
    """
    ids = photos["photo_id"].to_numpy()
    species = photos["species"].to_numpy()
    names = ids if groups is None else groups.reindex(ids).to_numpy()
    rows = []
    for host, own, group in zip(ids, species, names, strict=True):
        random = _random(seed, host)
        allowed = names != group
        same = sorted(ids[allowed & (species == own)])
        of_others = {name: sorted(ids[allowed & (species == name)]) for name in sorted(set(species) - {own})}
        rows += [(host, SAME, donor) for donor in random.permutation(np.array(same, dtype=object))[:count]]
        rows += [(host, RAND, donor) for donor in _from_others(random, of_others, count)]
    return pd.DataFrame(rows, columns=COLUMNS)


def partner(photos: pd.DataFrame, seed: int, groups: pd.Series | None = None) -> dict[str, str]:
    """photo_id -> a photo of another species and group, whose mask it is shown under; a photo without one is no key."""
    chosen = choose(photos, seed, groups, count=1)
    others = chosen[chosen["kind"] == RAND]
    return dict(zip(others["photo_id"], others["donor"], strict=True))


def _from_others(random: np.random.Generator, of_others: dict[str, list[str]], count: int) -> list[str]:
    """Up to count photos of other species: rounds over the species in a drawn order, a new photo of each."""
    left = {name: random.permutation(np.array(ids, dtype=object)).tolist() for name, ids in of_others.items() if ids}
    chosen = []
    while left and len(chosen) < count:
        for name in random.permutation(sorted(left)).tolist():
            chosen.append(left[name].pop())
            if not left[name]:
                del left[name]
    return chosen[:count]


def _random(seed: int, name: str) -> np.random.Generator:
    """Random numbers of a name's own, whatever else there is."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(digest[:8], "big")]))
