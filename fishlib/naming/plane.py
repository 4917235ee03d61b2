"""Where photos lie among each other: the first two principal components (PCA) of what the network sees in them.

The features are those that name the fish: the classifier's, or what a head learns on. They are cached by the
predictions stage, so that nothing is computed by a network here.
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from fishlib.files.frames import write_frame
from fishlib.naming import features, inference
from fishlib.photos.composite import BASIC
from fishlib.photos.draws import split_half
from fishlib.study import Study

FILE = "plane.csv"  # in the run folder
COLUMNS = ["photo_id", "variant", "x", "y", "share"]
DIGITS = 4  # of a place, in units of the photos' spread: a map is no finer, and the last digits are the machine's
FEWEST = 3  # photos that make a plane


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS, a row a photo of the manifest and input (Original, Crop, Mask, Crop & Mask); also writes plane.csv.

    found: the masks of the run's own method. x and y: places along the first and the second component, in units of
    the square root of the features' variance; NaN for a photo without features. share: of the variance that both hold,
    0 to 1. Each input has a plane of its own.
    """
    photos, _ = features.usable(manifest, found)
    if not study.classifier:
        _, _, alone = split_half(photos, study.profile.seed)
        photos = photos[~photos.species.isin(alone)]  # those that the predictions stage asked for
    source = study.classifier or inference.features_source(study)

    def work(there: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        return there, features.compute(study, there, found, list(BASIC.values()), source)

    frames = []
    if len(photos) >= FEWEST:
        (there, values), _ = features.without_changed(study, photos, work)
        for variant, x in values.items():
            frames.append(_rows(manifest, there, variant, x))
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=COLUMNS)
    write_frame(frame, study.out / FILE)
    return frame.reset_index(drop=True)


def principal(values: np.ndarray) -> tuple[np.ndarray, float]:
    """(places float64 (N, 2), share of the variance that they hold) of features (N, D), N >= FEWEST, D >= 1.

    Features in which photos do not differ put all of them at 0, with a share of 0.
    """
    values = np.asarray(values, dtype=np.float64)
    total = values.var(axis=0).sum()
    places = np.zeros((len(values), 2))
    if not total > 0:
        return places, 0.0
    fitted = PCA(n_components=min(2, values.shape[1]), svd_solver="full").fit(values)
    found = fitted.transform(values) / np.sqrt(total)
    places[:, : found.shape[1]] = found
    return places, float(fitted.explained_variance_ratio_.sum())


def _rows(manifest: pd.DataFrame, photos: pd.DataFrame, variant: str, values: np.ndarray) -> pd.DataFrame:
    places, share = principal(values)
    rows = pd.DataFrame({"x": places[:, 0], "y": places[:, 1]}, index=photos["photo_id"])
    rows = rows.round(DIGITS) + 0.0  # no -0
    rows = rows.reindex(manifest["photo_id"]).rename_axis("photo_id").reset_index()
    return rows.assign(variant=variant, share=round(share, DIGITS))[COLUMNS]
