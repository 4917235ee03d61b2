"""The phantom: drawn fish with exact masks. Everything that comes out of here is drawn, no photograph."""

from pathlib import Path

import cv2
import numpy as np

from fishlib.files import writing
from fishlib.files.progress import Bar
from fishlib.phantom import traits
from fishlib.phantom.backgrounds import kinds
from fishlib.phantom.scene import Phantom, draw
from fishlib.photos import masks
from fishlib.study import Study, stage

__all__ = ["COUNTS", "Phantom", "counts", "draw", "draw_photos", "kinds", "write_dataset"]

COUNTS = (19, 41, 18, 22, 78, 93, 38, 11, 43, 47, 77, 9, 28, 35, 29, 6, 7)  # table 1 of the paper, its order
DRAWN = """Everything here is drawn by a program (fishlib.phantom), no photograph; it is no evidence about real fish.
photos/ drawn photos, a folder a species; masks/ all of the fish, white; fins/ the fins alone, white.
"""


def counts(n_photos: int, min_per_species: int = 1) -> dict[str, int]:
    """Folder name -> photos: the paper's 601 scaled to n_photos, no species below min_per_species."""
    share = [max(min_per_species, round(c * n_photos / sum(COUNTS))) for c in COUNTS]
    return dict(zip(list(traits.load())[: len(COUNTS)], share, strict=True))


def write_dataset(out: Path, n_photos: int, min_per_species: int, seed: int, progress: bool = True) -> None:
    """Writes out/photos/<folder>/<nnnn>.jpg, PNG trees out/masks (fish) and out/fins, and out/DRAWN.txt.

    About 3 % of the photos show two fish, 3 % a fish cut off by the frame: out/photos/curation.csv refuses
    them, and their masks hold all fish pixels. Files that are there are kept: a stopped call goes on where it
    was; the photo is written last. Same arguments, same bytes. UserError where the folder cannot be written.
    """
    out, shares = Path(out), counts(n_photos, min_per_species)
    jobs = [(name, f"{i:04d}") for name, count in shares.items() for i in range(count)]
    rng = np.random.default_rng([seed, len(jobs)])
    numbers, odd = rng.permutation(len(jobs)), rng.permutation(len(jobs)) / len(jobs)
    writing.write_text(out / "DRAWN.txt", DRAWN)
    whys = {True: "drawn with a second fish", False: "drawn cut off by the frame"}
    refused = [(j, whys[chance < 0.03]) for j, chance in zip(jobs, odd, strict=True) if not 0.03 <= chance <= 0.97]
    rows = "".join(f"{name}/{stem}.jpg,no,{why}\n" for (name, stem), why in refused)
    writing.write_text(out / "photos" / "curation.csv", "photo_id,one_whole_fish,note\n" + rows)
    todo = Bar(list(zip(jobs, numbers, odd, strict=True)), disable=not progress, desc="drawing", unit="picture")
    for (name, stem), number, chance in todo:
        mask, fins = (out / tree / name / f"{stem}.png" for tree in ("masks", "fins"))
        photo = out / "photos" / name / f"{stem}.jpg"
        if all(path.exists() for path in (photo, mask, fins)):
            continue
        drawn = draw(name, seed, int(number), second=chance < 0.03, cut_off=chance > 0.97)
        masks.write_mask(drawn.body | drawn.fins, mask)
        masks.write_mask(drawn.fins, fins)
        code = cv2.imencode(".jpg", drawn.photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        with writing.atomic(photo) as part:
            part.write_bytes(code.tobytes())


def draw_photos(study: Study) -> None:
    """Draw the demo's pictures into the run folder; does nothing when photos were given or are drawn already."""
    if not study.drawn:
        return
    wanted = study.profile.drawn
    with stage(study, "draw") as record:
        write_dataset(study.photos.parent, wanted.photos, wanted.min_per_species, study.profile.seed)
        record["photos"] = wanted.photos
