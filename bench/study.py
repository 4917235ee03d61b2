"""The whole study: a first and a second run, its memory, the heads beside the features, the command line."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from bench.rows import row

HEADS, DRAWS, PHOTOS, SPECIES = 5, 10, 601, 17


def heads_beside_features():
    """Figure 3's heads (K = 1..5, ten draws) beside the features they need, for one pre-training and variant."""
    from fishlib.naming import classifier, transfer

    random = np.random.default_rng(0)
    model = classifier.load("imagenet")
    images = random.integers(0, 256, (PHOTOS, 224, 224, 3), np.uint8)
    labels = np.arange(PHOTOS) % SPECIES
    classifier.features(model, images[:32])  # the first call pays for set-up
    start = time.perf_counter()
    feats = classifier.features(model, images)
    features_s = time.perf_counter() - start
    start = time.perf_counter()
    for k in range(1, HEADS + 1):
        draws = np.stack(
            [
                np.concatenate([random.permutation(np.flatnonzero(labels == c))[:k] for c in range(SPECIES)])
                for _ in range(DRAWS)
            ]
        )
        weights, bias = transfer.train_heads(feats, labels, draws, SPECIES, seeds=list(range(DRAWS)))
        transfer.predict_heads(feats, weights, bias)
    heads_s = time.perf_counter() - start
    how = f"{PHOTOS} photos, Lite0, K = 1..5, 10 draws, 100 epochs: heads {heads_s:.2f} s, features {features_s:.2f} s"
    return [row("heads_over_features", heads_s / features_s, "<= 0.1", how)]


def first_and_second_run():
    """`fishlib reproduce` of the demo in an empty folder, then the same command again."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        first, peak = _reproduce(out)
        tables = _bytes(out / "tables")
        second, _ = _reproduce(out)
        stages = json.loads((out / "run.json").read_text(encoding="utf-8"))["seconds"]["stages"]
        computed = sum(s["computed"] for s in stages.values())
        same = tables == _bytes(out / "tables")
    rows = [
        row(
            "demo_first_run_minutes",
            first / 60,
            "<= 10",
            f"{first:.0f} s on {os.cpu_count()} CPUs, set-up aside",
        ),
        row("demo_peak_memory_gb", peak / 1e9, "<= 4", "resident, all processes of the run together"),
        row("demo_second_over_first", second / first, "<= 0.1", f"second run {second:.0f} s"),
        row(
            "demo_second_run_computed",
            computed,
            "<= 0",
            "photos segmented, features and heads computed again",
        ),
        row("demo_tables_that_differ", 0 if same else 1, "<= 0", "tables/ of both runs, byte for byte"),
    ]
    return rows


def help_answers_at_once():
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "fishlib.cli", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return [row("help_seconds", sorted(times)[2], "<= 0.5", "median of five calls of fishlib --help")]


def _reproduce(out: Path) -> tuple[float, int]:
    """(seconds, peak resident bytes of the process and its children)."""
    start, peak, done = time.perf_counter(), [0], threading.Event()
    command = [sys.executable, "-m", "fishlib.cli", "reproduce", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def watch():
        while not done.wait(0.2):
            peak[0] = max(peak[0], _resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise RuntimeError(f"fishlib reproduce ended with {code}")
    return time.perf_counter() - start, peak[0]


def _resident(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


MEASURES = [help_answers_at_once, heads_beside_features, first_and_second_run]
