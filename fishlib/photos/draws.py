"""The seeded draws: K photos a species, and halves of the photos."""

import hashlib
import unicodedata

import numpy as np
import pandas as pd

from fishlib.errors import UserError


def _shuffled(ids, species: str, *entropy: int) -> list[str]:
    name = hashlib.sha256(unicodedata.normalize("NFC", species).encode()).digest()
    random = np.random.default_rng(np.random.SeedSequence([*entropy, int.from_bytes(name[:8], "big")]))
    return random.permutation(np.array(sorted(ids), dtype=object)).tolist()


def draw_shots(manifest_ok: pd.DataFrame, shots: int, trial: int, seed: int) -> list[str]:
    """The photo_ids of one K-shot draw, species sorted, each the first K of a permutation seeded by (seed,
    trial, species): nested in K, the same whatever the other species and the rows' order. manifest_ok holds
    evaluated rows alone. UserError where a species has fewer than K + 1 photos (one must be left to test)."""
    groups = sorted(manifest_ok.groupby("species")["photo_id"])
    if few := [f"{name} ({len(ids)})" for name, ids in groups if len(ids) <= shots]:
        raise UserError(f"K = {shots} needs {shots + 1} photos each: lower K or add to {', '.join(few)}.")
    return [pick for name, ids in groups for pick in _shuffled(ids, name, seed, trial)[:shots]]


def split_half(manifest_ok: pd.DataFrame, seed: int) -> tuple[list[str], list[str], list[str]]:
    """(train ids, test ids, species left out): a seeded half of each species, rounded down, trains. A species
    of one photo cannot be halved: its photo is in neither list, its name in the third."""
    halves = [], []
    groups = sorted(manifest_ok.groupby("species")["photo_id"])
    for order in (_shuffled(ids, name, seed) for name, ids in groups if len(ids) > 1):
        halves[0].extend(order[: len(order) // 2])
        halves[1].extend(order[len(order) // 2 :])
    return *halves, [name for name, ids in groups if len(ids) == 1]
