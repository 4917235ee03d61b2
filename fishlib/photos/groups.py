"""Photos that are no independent evidence: of one trip, observer or camera, or of one scene.

A model that has learnt from a photo of a trip may know its companions by their deck or bench. Such photos share a
group: `groups.csv` (photo_id, group) names them, and near-duplicates are put together anyhow. Groups are a Series,
photo_id -> name, one row a photo in the order of the photos; None where every photo stands alone, and all is then as
without.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fishlib.errors import UserError
from fishlib.files.frames import read_table
from fishlib.files.reads import looked_for
from fishlib.photos.curation import NEAR, plain
from fishlib.photos.draws import split_half

COLUMNS = ["photo_id", "group"]
SPLITS = 5  # ours
ATTEMPTS = 100  # ours: orders in which groups are dealt until every species that can be halved has photos in both
ROWS = 2048  # photos whose hashes are held against all others at a time: some 160 MB for 20,000 photos


def of_photos(
    csv: Path, photos: pd.DataFrame, look: Callable[[str], np.ndarray] | None = None
) -> tuple[pd.Series | None, list[str]]:
    """(groups or None, notes) of a study's photos: those of groups.csv (see read), near-duplicates put together.

    photos: photo_id and sha256. look: see near_duplicates, which are not looked for without it.
    """
    pairs = near_duplicates(photos, look) if look else []
    return of_pairs(csv, photos["photo_id"].tolist(), pairs)


def of_pairs(csv: Path, ids: list[str], pairs: list[tuple[str, str]]) -> tuple[pd.Series | None, list[str]]:
    """The same of pairs of photos that are known to look alike."""
    groups, notes = read(csv, ids)
    if pairs:
        alike = {photo_id for pair in pairs for photo_id in pair}
        notes.append(
            f"{len(alike)} photos look the same as another (first: {' and '.join(pairs[0])}) and share its group."
        )
    groups = merged(groups, ids, pairs)
    if groups is not None and groups.nunique() == 1:
        why = f"All {len(ids)} photos are in one group, so that none is independent evidence"
        return None, [*notes, f"{why}; groups are not used, and intervals and tests promise too much."]
    return groups, notes


def read(csv: Path, photo_ids: Iterable[str]) -> tuple[pd.Series | None, list[str]]:
    """(groups of these photos, or None; notes) from a groups.csv; a missing file means no groups.

    A photo that the file does not name, or names without a group, is a group of its own. Notes say how many these are,
    which rows name no photo of the study, and why a file changes nothing: it gives no photo a group, or every photo its
    own. UserError for a file that is no such table, or puts a photo into two groups.
    """
    csv = Path(csv)
    if not looked_for(csv).exists():
        return None, []
    named = _named(csv)
    ids = list(photo_ids)
    own = {plain(photo_id): photo_id for photo_id in ids}
    unknown = [photo for photo in named if photo not in own]
    notes = []
    if unknown:
        notes.append(
            f"{csv.name}: {len(unknown)} of its {len(named)} photos are not in this study (first: {unknown[0]})."
        )

    given = {own[photo]: group for photo, group in named.items() if photo in own and group}
    if not given:
        return None, [*notes, f"{csv.name} gives no photo of this study a group; every photo counts as independent."]
    alone = len(ids) - len(given)
    if alone:
        notes.append(f"{alone} of {len(ids)} photos have no group in {csv.name}; each counts as a group of its own.")
    groups = _series(ids, [given.get(photo_id, photo_id) for photo_id in ids])
    if groups is None:
        notes.append(f"{csv.name} puts no two photos into one group; every photo counts as independent.")
    return groups, notes


def _named(csv: Path) -> dict[str, str]:
    """photo_id as curation.plain has it -> group ("" where the cell is empty), of the rows of a groups.csv."""
    named = {}
    for row, photo_id, group in read_table(csv, COLUMNS).itertuples():
        if not photo_id:
            raise UserError(f"{csv}, row {row}, names no photo; give its photo_id or delete the row.")
        if named.setdefault(plain(photo_id), group) != group:
            raise UserError(f"{csv}, row {row}, puts {photo_id} into a second group; keep one row a photo.")
    return named


def near_duplicates(photos: pd.DataFrame, look: Callable[[str], np.ndarray | None]) -> list[tuple[str, str]]:
    """Pairs of photo_ids with the same bytes, or whose perceptual hashes differ in at most curation.NEAR of 64 bits.

    photos: photo_id and sha256. look(photo_id): a small picture, uint8 (h, w, 3), 240 px long, or None for a photo that
    cannot be looked at, which then looks like none. Pairs in the order of the photos.
    """
    hashes = _hashes(photos, look)
    seen = photos[photos["sha256"].isin(hashes)]
    ids = seen["photo_id"].tolist()
    if len(ids) < 2:
        return []
    bits = (
        2.0 * np.stack([hashes[content] for content in seen["sha256"]]).astype(np.float32) - 1
    )  # (N, 64), each +1 or -1

    pairs = []
    for start in range(0, len(ids), ROWS):
        alike = bits[start : start + ROWS] @ bits.T  # 64 minus twice the number of bits that differ
        rows, columns = np.nonzero(alike >= bits.shape[1] - 2 * NEAR)
        pairs += [
            (ids[start + row], ids[column]) for row, column in zip(rows, columns, strict=True) if column > start + row
        ]
    return pairs


def _hashes(photos: pd.DataFrame, look: Callable[[str], np.ndarray | None]) -> dict[str, np.ndarray]:
    """Content -> perceptual hash, bool (64,), of the contents that can be looked at; the same bytes look the same."""
    hashes = {}
    for row in photos.drop_duplicates("sha256").itertuples():
        picture = look(row.photo_id)
        if picture is not None:
            hashes[row.sha256] = imagehash.phash(Image.fromarray(picture)).hash.ravel()
    return hashes


def merged(groups: pd.Series | None, photo_ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> pd.Series | None:
    """Groups in which the photos of each pair, and with them all of their groups, are one; None where all stand alone.

    groups: of these photos, or None. A joined group has the name of the group of its first photo.
    """
    ids = list(photo_ids)
    pairs = list(pairs)
    if not pairs:
        return groups
    names = ids if groups is None else groups.reindex(ids).tolist()
    place = {photo_id: at for at, photo_id in enumerate(ids)}
    links = [(place[a], place[b]) for a, b in pairs]
    first = {}
    links += [(first.setdefault(name, at), at) for at, name in enumerate(names)]

    rows, columns = np.transpose(links)
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(len(ids), len(ids)))
    _, joined = connected_components(graph, directed=False)
    name_of = {}
    return _series(ids, [name_of.setdefault(part, name) for part, name in zip(joined, names, strict=True)])


def halves(
    photos: pd.DataFrame, seed: int, groups: pd.Series | None = None, splits: int = SPLITS
) -> list[tuple[list[str], list[str], list[str]]]:
    """Seeded half-splits, each (train ids, test ids, species left out); the first without groups is draws.split_half's.

    photos: photo_id and species. With groups, whole groups go to one half, dealt in a seeded order so that every
    species comes near to half and half; a species that has photos in one half only is left out of both.
    """
    seeds = [seed, *(int(np.random.SeedSequence([seed, at]).generate_state(1)[0]) for at in range(1, splits))]
    if groups is None:
        return [split_half(photos, each) for each in seeds]
    return [_split_groups(photos, each, groups) for each in seeds]


def sharing(drawn: Iterable[str], groups: pd.Series | None) -> list[str]:
    """The photos that leave a draw's evaluation: in a group with a drawn photo, and not drawn themselves; in the order
    of groups. None without groups."""
    if groups is None:
        return []
    learnt = set(drawn)
    known = set(groups[groups.index.isin(learnt)])
    leaving = groups.isin(known) & ~groups.index.isin(learnt)
    return groups.index[leaving].tolist()


def _split_groups(photos: pd.DataFrame, seed: int, groups: pd.Series) -> tuple[list[str], list[str], list[str]]:
    """One half-split of whole groups: of ATTEMPTS seeded orders the first that halves the most species."""
    names = groups.reindex(photos["photo_id"]).to_numpy()
    counts = pd.crosstab(names, photos["species"].to_numpy()).sort_index()  # groups x species
    can_be_halved = int(((counts > 0).sum() > 1).sum())
    best = None
    for attempt in range(ATTEMPTS):
        trains = _deal(counts.to_numpy(), np.random.default_rng([seed, attempt]))
        in_train = counts.loc[trains].sum()
        lost = counts.columns[(in_train == 0) | (in_train == counts.sum())]
        if best is None or len(lost) < len(best[1]):
            best = trains, lost
        if counts.shape[1] - len(lost) == can_be_halved:
            break
    trains, lost = best
    in_train = pd.Series(names, index=photos.index).isin(counts.index[trains])
    kept = ~photos["species"].isin(lost)
    train = photos[kept & in_train].sort_values(["species", "photo_id"])
    test = photos[kept & ~in_train].sort_values(["species", "photo_id"])
    return train["photo_id"].tolist(), test["photo_id"].tolist(), lost.tolist()


def _deal(counts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """bool (G,), the groups that train: each in turn goes where it leaves the species (G, S) better balanced.

    Balance is the sum over species of the squared share by which one half is ahead; a tie is decided by chance.
    """
    shares = counts / counts.sum(axis=0)
    ahead = np.zeros(counts.shape[1])  # of the training half
    trains = np.zeros(len(counts), bool)
    for group in random.permutation(len(counts)):
        if_train = ((ahead + shares[group]) ** 2).sum()
        if_test = ((ahead - shares[group]) ** 2).sum()
        coin = bool(random.integers(2))
        trains[group] = coin if np.isclose(if_train, if_test) else if_train < if_test
        ahead += shares[group] if trains[group] else -shares[group]
    return trains


def _series(ids: list[str], names: list[str]) -> pd.Series | None:
    """Groups of these photos; None where no two photos share one."""
    if len(set(names)) == len(names):
        return None
    return pd.Series(names, index=pd.Index(ids, name="photo_id"), name="group", dtype=object)
