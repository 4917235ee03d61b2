"""Shares of a run: each photo in one of them, bytes as of one run, and four processes on one folder at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given

from fishlib.errors import UserError
from fishlib.files import locks, shards
from fishlib.naming import features, inference, shares, sweep
from fishlib.opening import open_study, reopen
from fishlib.photos import manifest as manifests
from fishlib.removal import segmenting

SCRIPT = Path(__file__).parents[1] / "docs" / "shards.slurm"
COMMAND = Path(sys.executable).with_name("fishlib")
FISHLIB = [sys.executable, "-m", "fishlib.cli"]


@given(st.text(), st.integers(1, 40))
def test_every_name_belongs_to_one_shard(name, of):
    assert sum(shards.holds(shards.Shard(number, of), name) for number in range(1, of + 1)) == 1


def test_shards_are_about_as_large_as_each_other():
    names = [f"species/{i}.jpg" for i in range(4000)]
    sizes = [sum(shards.holds(shards.Shard(number, 4), name) for name in names) for number in (1, 2, 3, 4)]
    assert sum(sizes) == 4000 and min(sizes) > 900  # four standard deviations below a quarter: 890


@pytest.mark.parametrize(
    "text", ["5/4", "0/4", "1/0", "-1/4", "3", "3/", "a/b", "1/2/3", "", "1.5/4", "１/４", "1/999999"]
)
def test_a_share_that_is_none_is_a_sentence(text):
    with pytest.raises(UserError, match="1/16 to 16/16"):
        shards.parse(text)


def test_a_share_is_read():
    assert shards.parse(" 3/16 ") == shards.Shard(3, 16)


def kept_in(run: Path) -> dict[str, bytes]:
    """Every result of a run: tables, predictions and the segments, without the seconds they took."""
    files = [run / "predictions.csv", run / "draws.json", *(run / "tables").glob("*.csv")]
    files += [file for file in (run / "segments").rglob("*") if file.is_file() and file.name != "made_of.json"]
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def assembled(study) -> dict[str, bytes]:
    """Notebooks 02 to 04 as far as their stages go."""
    manifest = manifests.curated(study)
    segmenting.compare(study, manifest)
    found = segmenting.run(study, study.method, manifest)
    inference.run(study, manifest, found)
    sweep.run(study, manifest, found)
    return kept_in(study.out)


@pytest.fixture
def scanned(tiny_photos, tiny_profile, tmp_path):
    quick = tmp_path / "quick.yaml"  # four processes load no detector
    quick.write_text(yaml.safe_dump(yaml.safe_load(tiny_profile.read_text()) | {"compare": ["grabcut"]}))
    given = {"photos": str(tiny_photos / "photos"), "masks": str(tiny_photos / "masks"), "method": "truth"}
    study = open_study(out=str(tmp_path / "run"), profile=str(quick), offline=True, device="cpu", **given)
    manifests.write_manifest(study, manifests.scan_photos(study))
    return study


def test_four_processes_fill_one_run_and_its_bytes_are_those_of_one(scanned, monkeypatch):
    out = scanned.out
    alone = out.with_name("alone")
    shutil.copytree(out, alone)
    whole = assembled(reopen(alone))

    in_four(out, "segment")
    monkeypatch.setattr(segmenting, "_compute", lambda *of_a_photo: pytest.fail("a photo was cut again"))
    segmenting.compare(scanned, manifests.curated(scanned))
    in_four(out, "features")
    monkeypatch.setattr(features, "_shown", lambda *of_a_block: pytest.fail("a block was computed again"))
    assert assembled(scanned) == whole
    assert not list(out.glob(".*lock*-holder*"))


def in_four(out: Path, command: str) -> None:
    """Four tasks of docs/shards.slurm at once, as a job array starts them; where there is no bash, what it runs."""
    started = []
    for number in ("1", "2", "3", "4"):
        line = [*FISHLIB, command, "--run", str(out), "--shard", f"{number}/4"]
        given = {"OUT": str(out), "STAGE": command, "SLURM_ARRAY_TASK_ID": number, "SLURM_ARRAY_TASK_COUNT": "4"}
        if shutil.which("bash") and COMMAND.is_file():
            line = ["bash", str(SCRIPT)]
            given |= {"FISHLIB": str(COMMAND)}
        environment = os.environ | given
        started.append(subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    ended = [(process.communicate()[0], process.returncode) for process in started]
    assert all(code == 0 for _, code in ended), ended


def test_a_second_fill_computes_nothing(scanned):
    manifest = manifests.curated(scanned)
    first = segmenting.fill(scanned, "grabcut", manifest, shards.WHOLE)
    second = segmenting.fill(scanned, "grabcut", manifest, shards.WHOLE)
    assert (first["computed"], second["computed"], second["reused"]) == (21, 0, 21)
    segmenting.run(scanned, scanned.method, manifest)
    assert sum(counts["computed"] for _, counts in shares.fill(scanned, shards.WHOLE)) > 0
    assert sum(counts["computed"] for _, counts in shares.fill(scanned, shards.WHOLE)) == 0


def test_two_shards_of_one_number_name_each_other(scanned):
    manifest = manifests.curated(scanned)
    with shards.held(scanned.out, "segment-grabcut", shards.Shard(1, 4)):
        os.environ.pop(locks.HELD)  # as in another process
        with pytest.raises(locks.InUse, match=r"fishlib segment-grabcut --shard 1/4 \(process"):
            segmenting.fill(scanned, "grabcut", manifest, shards.Shard(1, 4))
        segmenting.fill(scanned, "grabcut", manifest, shards.Shard(2, 4))


def test_features_need_all_masks(scanned):
    with pytest.raises(UserError, match="reproduce --only 02"):
        list(shares.fill(scanned, shards.WHOLE))


def test_a_photo_that_changed_is_counted_and_kept_out(scanned, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(scanned.photos, photos)
    changed = sorted(photos.rglob("*.png"))[0]
    changed.write_bytes(sorted(photos.rglob("*.png"))[1].read_bytes())
    study = reopen(scanned.out)
    moved = type(study)(**{**study.__dict__, "photos": photos})
    counts = segmenting.fill(moved, "grabcut", manifests.curated(study), shards.WHOLE)
    assert counts == {"computed": 20, "reused": 0, "unreadable": 1}


def test_the_commands_say_what_is_wrong(scanned, tmp_path):
    for line, said in (
        (["segment", "--run", str(scanned.out), "--shard", "5/4"], "5/4"),
        (["features", "--run", str(tmp_path / "none")], "holds no run.json"),
    ):
        done = subprocess.run([*FISHLIB, *line], capture_output=True, text=True)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
