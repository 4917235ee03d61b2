"""Figure 3 at the cost of one forward pass a photo, beside the paper's literal procedure; the features stage.

Lite0 with ImageNet weights; Swin-T, the paper's backbone, with random ones, which take the same time.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import yaml

from bench.rows import row

PHOTOS, SPECIES, EPOCHS, SHOTS, TRIALS = 601, 17, 100, range(1, 6), 10  # the paper's study; the Ks are ours
DRAWN, BATCH = 64, 8
LONG = 20  # seconds: in three of them, other work on the machine decides
BACKBONES = {"lite0": ("tf_efficientnet_lite0", "imagenet"), "swin_t": ("swin_tiny_patch4_window7_224", "none")}
FOLDER = tempfile.TemporaryDirectory()  # goes with the process


@cache
def model(name: str):
    from fishlib.naming import classifier

    backbone, source = BACKBONES[name]
    return classifier.load(source, backbone, "cpu")


@cache
def drawn():
    """(study, manifest, true masks) of drawn pictures."""
    from fishlib.opening import open_study
    from fishlib.phantom import draw_photos
    from fishlib.photos.manifest import scan_photos
    from fishlib.removal import segmenting

    profile = Path(FOLDER.name) / "drawn.yaml"
    few = {"photos": DRAWN, "min_per_species": 2}
    profile.write_text(yaml.safe_dump({"based_on": "demo", "name": "drawn", "drawn": few}), encoding="utf-8")
    opened = open_study(out=f"{FOLDER.name}/run", profile=str(profile), method="truth", device="cpu")
    draw_photos(opened)
    photos = scan_photos(opened)
    return opened, photos, segmenting.run(opened, "truth", photos)


def heads_and_literal_procedure():
    """Heads beside features, and the whole sweep beside a forward pass for each photo in each epoch.

    The literal procedure is measured on its steps: forward passes of K = 3's batches of one draw (51 photos)
    through the network and one step of its last layer with Adam, for `steps` epochs of 100, and the evaluation
    of the rest; then multiplied by epochs and draws. Every K costs in proportion to its photos, and 3 is the mean.
    """
    from fishlib.naming import classifier, transfer

    for name in BACKBONES:
        network, random = model(name), np.random.default_rng(0)
        images = random.integers(0, 256, (SPECIES * 3, 224, 224, 3), np.uint8)
        labels = np.arange(PHOTOS) % SPECIES
        classifier.features(network, images[:8])  # the first call pays for set-up
        start = time.perf_counter()
        feats = classifier.features(network, images)
        features_s = (time.perf_counter() - start) / len(images) * PHOTOS
        feats = np.resize(feats, (PHOTOS, network.dim))
        start = time.perf_counter()
        for k in SHOTS:
            draws = [_draw(labels, k, random) for _ in range(TRIALS)]
            heads = transfer.train_heads(feats, labels, np.stack(draws), SPECIES, EPOCHS, seeds=[*range(TRIALS)])
            transfer.predict_heads(feats, *heads)
        heads_s = time.perf_counter() - start
        epoch_s = _literal_epoch(network, images, labels[: len(images)])
        literal_s = len(SHOTS) * TRIALS * (EPOCHS * epoch_s + features_s * (PHOTOS - len(images)) / PHOTOS)
        how = f"{PHOTOS} photos, K = 1..5, {TRIALS} draws, {EPOCHS} epochs, one pre-training and input: "
        how += f"features {features_s:.1f} s (from {len(images)}), heads {heads_s:.2f} s"
        target = "<= 0.1" if name == "lite0" else "<= 0.05"
        yield row(f"heads_over_features_{name}", heads_s / features_s, target, how)
        how += f"; literal {literal_s / 3600:.2f} h (an epoch of K = 3 {epoch_s:.2f} s, multiplied)"
        yield row(f"sweep_speedup_{name}", literal_s / (features_s + heads_s), ">= 100", how)


def _draw(labels: np.ndarray, k: int, random) -> np.ndarray:
    return np.concatenate([random.permutation(np.flatnonzero(labels == c))[:k] for c in range(SPECIES)])


def _literal_epoch(network, images: np.ndarray, labels: np.ndarray) -> float:
    """Seconds of an epoch as the paper describes it: every photo through the network, then Adam on the layer."""
    from fishlib.naming import classifier

    layer = torch.nn.Linear(network.dim, SPECIES)
    adam, target = torch.optim.Adam(layer.parameters(), lr=5e-4), torch.from_numpy(labels)
    start = time.perf_counter()
    x = torch.from_numpy(classifier.features(network, images))
    adam.zero_grad()
    torch.nn.functional.cross_entropy(layer(x), target).backward()
    adam.step()
    return time.perf_counter() - start


def features_beside_bare_model():
    """Pictures a second of the whole stage (decoding, masks, compositing, storing) beside tensors lying ready.

    The bare model runs both ways, all cores on one batch and a batch a core; the faster of the two counts. All take
    turns until each has run for LONG seconds. A turn's ratio is that of two neighbours, so that other work on the
    machine slows both; their median counts.
    """
    from fishlib.naming import classifier, features
    from fishlib.photos.composite import BASIC

    variants = list(BASIC.values())
    study, photos, found = drawn()
    for name in BACKBONES:
        network = model(name)
        pictures = np.concatenate([features.pictures(study, photos, found, v) for v in variants])
        ready = [classifier.normalise(network, pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]

        def bare(x, network=network):
            with torch.inference_mode():
                return network.model(x)

        def a_batch_at_a_time(ready=ready, bare=bare):
            for x in ready:
                bare(x)

        def a_batch_a_core(ready=ready, bare=bare):
            with ThreadPoolExecutor(features.WORKERS, initializer=lambda: torch.set_num_threads(1)) as pool:
                list(pool.map(bare, ready))
            torch.set_num_threads(torch.get_num_threads())

        def stage():
            shutil.rmtree(study.cache / "features", ignore_errors=True)
            return features.compute(study, photos, found, variants, "imagenet")

        ways = {"all cores on a batch": a_batch_at_a_time, "a batch a core": a_batch_a_core, "stage": stage}
        with mock.patch.object(classifier, "load", return_value=network):  # loaded before, as for the bare model
            seconds = alternating(ways, LONG)
        stage_s = seconds.pop("stage")
        best = min(seconds, key=lambda way: np.median(seconds[way]))
        ratios = np.array(seconds[best]) / np.array(stage_s)
        how = f"bare, {best}, {np.median(seconds[best]):.1f} s, stage {np.median(stage_s):.1f} s (medians), "
        how += f"{len(ratios)} turns ({min(ratios):.2f} to {max(ratios):.2f}), {sum(stage_s):.0f} s of stage; "
        how += f"{len(photos)} drawn photos x {len(variants)} inputs, fp32"
        yield row(f"features_over_bare_model_{name}", np.median(ratios), ">= 0.9", how)


def alternating(ways: dict, seconds: float) -> dict[str, list[float]]:
    """name -> seconds of each turn; the ways take turns until each has run that long. First calls are not counted."""
    for way in ways.values():
        way()
    spent = {name: [] for name in ways}
    while min(sum(turns) for turns in spent.values()) < seconds:
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            spent[name].append(time.perf_counter() - start)
    return spent


def variants_decode_once():
    """How often a photo is decoded and its mask read for every variant of tables 2 to 4 together."""
    from fishlib.naming import classifier, features
    from fishlib.photos import decode, masks
    from fishlib.photos.composite import BACKGROUNDS, variants_of_tables

    study, photos, found = drawn()
    some = photos.iloc[:8]
    calls = []

    def counting(read):
        def counted(path, *given, **options):
            calls.append((read.__name__, path))
            return read(path, *given, **options)

        return counted

    variants = variants_of_tables(list(BACKGROUNDS), [0, 1, 2, 3, 4, 5, 7, 10, 12, 15])
    shutil.rmtree(study.cache / "features", ignore_errors=True)
    with (
        mock.patch.object(decode, "read", counting(decode.read)),
        mock.patch.object(masks, "read_mask", counting(masks.read_mask)),
        mock.patch.object(classifier, "load", return_value=model("lite0")),
    ):
        features.compute(study, some, found, variants, "imagenet")
    most = max(calls.count(path) for path in set(calls))
    how = f"{len(variants)} variants of {len(some)} photos: {len(calls)} files decoded, photo and mask each"
    return [row("decodings_of_a_photo_for_all_variants", most, "<= 1", how)]


def bf16_answers():
    """Answers on bf16 features beside those on fp32 ones: ten K = 1 heads on drawn photos in four inputs."""
    from fishlib.naming import classifier, features, transfer
    from fishlib.photos.composite import BASIC

    study, photos, found = drawn()
    species = sorted(photos.species.unique())
    labels = np.array([species.index(s) for s in photos.species])
    pictures = np.concatenate([features.pictures(study, photos, found, v) for v in BASIC.values()])
    full, half = (classifier.features(model("lite0"), pictures, dtype=d) for d in ("float32", "bfloat16"))
    random = np.random.default_rng(0)
    draws = np.stack([_draw(labels, 1, random) for _ in range(TRIALS)])
    heads = transfer.train_heads(full[: len(photos)], labels, draws, len(species), EPOCHS)
    same = transfer.predict_heads(full, *heads) == transfer.predict_heads(half, *heads)
    how = f"{same.size} predictions: {len(photos)} drawn photos x 4 inputs x {TRIALS} heads, Lite0, CPU"
    return [row("bf16_equal_answers", same.mean(), ">= 0.995", how)]


MEMORY = """
import resource, sys
from hashlib import sha256
from pathlib import Path
import pandas as pd
from fishlib.naming import features
from fishlib.opening import open_study
from fishlib.photos.composite import ORIGINAL
root, n = sys.argv[1], int(sys.argv[2])
opened = open_study(out=f"{root}/run{n}", profile=f"{root}/tiny.yaml", photos=f"{root}/photos", device="cpu")
ids = [f"a/{i}.jpg" for i in range(n)]
hashes = [sha256(Path(root, "photos", name).read_bytes()).hexdigest() for name in ids]
photos = pd.DataFrame({"photo_id": ids, "species": "a", "path": ids, "sha256": hashes})
found = pd.DataFrame({"photo_id": ids, "mask_file": ""} | dict.fromkeys(("x0", "y0", "x1", "y1"), float("nan")))
[values] = features.compute(opened, photos, found, [ORIGINAL], "none").values()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - values.nbytes)
"""


def memory_beside_number_of_photos():
    """Peak memory of the stage, less the features themselves, for 1,000 and for 10,000 photos."""
    import cv2

    root = Path(FOLDER.name)
    profile = {"based_on": "demo", "name": "tiny", "backbone": "test_efficientnet", "composite": {"size": 64}}
    (root / "tiny.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    (root / "photos" / "a").mkdir(parents=True, exist_ok=True)
    random, peaks = np.random.default_rng(0), []
    photo = cv2.imencode(".jpg", random.integers(0, 256, (96, 128, 3), np.uint8))[1].tobytes()
    for i in range(10_000):
        (root / "photos" / "a" / f"{i}.jpg").write_bytes(photo + str(i).encode())  # no two alike
    for n in (1_000, 10_000):
        command = [sys.executable, "-c", MEMORY, str(root), str(n)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        peaks.append(int(said.stdout.split()[-1]))
    how = f"peak resident {peaks[0] / 1e6:.0f} and {peaks[1] / 1e6:.0f} MB, features aside, tiny photos and backbone"
    return [row("memory_10000_over_1000_photos", peaks[1] / peaks[0], "<= 1.1", how)]


MEASURES = [
    heads_and_literal_procedure,
    features_beside_bare_model,
    variants_decode_once,
    bf16_answers,
    memory_beside_number_of_photos,
]
