"""The seeded draws: K photos a species, and halves of the photos."""

import hashlib
import unicodedata

import numpy as np
import pandas as pd

from fishlib.errors import UserError


def draw_shots(manifest_ok: pd.DataFrame, shots: int, trial: int, seed: int) -> list[str]:
    """The photo_ids of one K-shot draw, species sorted, each the first K of a permutation seeded by (seed,
    trial, species): nested in K, the same whatever the other species and the rows' order. manifest_ok holds
    evaluated rows alone. UserError where a species has fewer than K + 1 photos (one must be left to test)."""
    groups = _by_species(manifest_ok)
    few = [f"{species} ({len(ids)})" for species, ids in groups if len(ids) <= shots]
    if few:
        raise UserError(f"K = {shots} needs {shots + 1} photos each: lower K or add to {', '.join(few)}.")
    drawn = []
    for species, ids in groups:
        drawn += _shuffled(ids, species, seed, trial)[:shots]
    return drawn


def draw_up_to(manifest_ok: pd.DataFrame, shots: int, trial: int, seed: int) -> list[str]:
    """draw_shots, but a species with too few photos gives all but one of them."""
    drawn = []
    for species, ids in _by_species(manifest_ok):
        drawn += _shuffled(ids, species, seed, trial)[: min(shots, len(ids) - 1)]
    return drawn


def split_half(manifest_ok: pd.DataFrame, seed: int) -> tuple[list[str], list[str], list[str]]:
    """(train ids, test ids, species left out): a seeded half of each species, rounded down, trains. A species
    of one photo cannot be halved: its photo is in neither list, its name in the third."""
    train, test, alone = [], [], []
    for species, ids in _by_species(manifest_ok):
        if len(ids) == 1:
            alone.append(species)
            continue
        order = _shuffled(ids, species, seed)
        half = len(order) // 2
        train += order[:half]
        test += order[half:]
    return train, test, alone


def _by_species(manifest: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """(species, its photo_ids), sorted by species."""
    return sorted(manifest.groupby("species")["photo_id"], key=lambda group: group[0])


def _shuffled(ids: pd.Series, species: str, *entropy: int) -> list[str]:
    """The ids in an order that entropy and the species' name alone decide."""
    name = hashlib.sha256(unicodedata.normalize("NFC", species).encode()).digest()
    of_species = int.from_bytes(name[:8], "big")
    random = np.random.default_rng(np.random.SeedSequence([*entropy, of_species]))
    return random.permutation(np.array(sorted(ids), dtype=object)).tolist()
