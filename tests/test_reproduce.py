"""The real notebooks through papermill on a small folder of pictures, good and bad."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
from conftest import LONELY

from fishlib import run


def tables(out):
    return {p.name: p.read_bytes() for p in sorted((out / "tables").iterdir())}


def test_every_table_and_figure_is_there(done):
    out, _ = done
    wanted = {f"table{n}.{kind}" for n in (1, 2, 3, 4) for kind in ("csv", "md", "tex", "html")} | {
        "figure3.csv",
        "figure3_paired.csv",
        "ablation.csv",
        "ablation.md",
    }
    assert set(tables(out)) == wanted
    assert {p.name for p in (out / "figures").glob("*.png")} >= {
        "figure3.png",
        "figure3_inputs.png",
        "paired.png",
        "pipeline.png",
        "confusion.png",
        "map.png",
    }


def test_every_bad_file_is_listed_and_none_stops_the_run(done, messy):
    out, _ = done
    manifest = pd.read_csv(out / "manifest.csv")
    bad = manifest[manifest.status == "unreadable"]
    assert set(bad.photo_id) == messy[1] and bad.reason.str.len().gt(0).all()
    for method in ("truth", "grabcut"):
        index = pd.read_csv(out / "segments" / method / "index.csv")
        assert index.photo_id.tolist() == manifest.photo_id.tolist()
    truth = pd.read_csv(out / "segments" / "truth" / "index.csv")
    rejected = truth[truth.status == "mask_rejected"]
    assert rejected.reason.str.contains("10 x 10").sum() == 3 and rejected.reason.str.contains("black").sum() == 3


def test_counts_agree_between_table_and_predictions(done):
    out, _ = done
    predictions = pd.read_csv(out / "predictions.csv")
    table2 = pd.read_csv(out / "tables" / "table2.csv")
    for variant in ("original", "crop", "mask", "crop_mask"):
        assert table2[f"{variant}_count"].iloc[-1] == predictions[predictions.variant == variant].correct.sum()
    assert LONELY not in set(predictions.species)


def test_run_json_tells_how_to_repeat_the_run(done):
    out, _ = done
    facts = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert facts["parameters"] == {
        "out": "small", "profile": "tiny.yaml", "photos": "photos", "masks": "masks", "method": None,
        "classifier": None, "offline": True, "device": "cpu",
    }  # fmt: skip
    expected = "fishlib reproduce --profile tiny.yaml --photos PHOTOS --masks MASKS --out runs/small --offline"
    assert facts["command"] == f"{expected} --device cpu"
    assert facts["seed"] == 0 and facts["versions"]["torch"] and facts["checkpoints"]["none"]
    assert facts["draws"][0]["photo_ids"] and set(facts["seconds"]["notebooks"]) == {p.stem for p in run.notebooks()}


def test_the_same_command_again_computes_nothing_and_gives_the_same_bytes(done):
    out, given = done
    before = tables(out)
    run.reproduce(out=str(out), **given)
    stages = json.loads((out / "run.json").read_text(encoding="utf-8"))["seconds"]["stages"]
    assert {name: s["computed"] for name, s in stages.items() if s["computed"]} == {}
    assert tables(out) == before


def test_a_run_killed_half_way_resumes_to_the_same_bytes(done, tmp_path):
    out, given = done
    again = tmp_path / "again"
    words = [f"--{k}={v}" for k, v in given.items() if v and k != "offline"]
    command = [sys.executable, "-m", "fishlib.cli", "reproduce", f"--out={again}", *words]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((again / "cache" / "features").rglob("[!.]*.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    kept = set((again / "cache").rglob("[!.]*.npz"))  # not what an orphaned kernel is writing in its last second
    stamps = {p: p.stat().st_mtime_ns for p in kept}
    assert not (again / "tables" / "table4.csv").exists()
    run.reproduce(out=str(again), **given)
    assert {p: p.stat().st_mtime_ns for p in kept} == stamps  # finished blocks were not made again
    assert tables(again) == tables(out)
