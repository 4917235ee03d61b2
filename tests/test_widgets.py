"""Explorer, reviewer and curator without a browser: clicks and keys are simulated, what is on disk is read."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ODD

from fishlib.errors import UserError
from fishlib.photos import curation
from fishlib.photos.manifest import curated, decisions_file, write_manifest
from fishlib.removal import reviews
from fishlib.show import tags
from fishlib.show.widgets import Curator, FailureExplorer, MaskReviewer, verdicts
from fishlib.show.widgets.common import Queue


def shown(explorer):
    return [place.children[0].tooltip for place in explorer.grid.children]


def test_a_click_on_a_cell_chooses_and_a_second_one_gives_it_up(made):
    explorer = FailureExplorer(made)
    before = shown(explorer)
    cell = explorer._matrices["original"][1][ODD, "マサバ"]
    cell.click()
    assert [explorer.true.value, explorer.named.value, explorer.kind.value] == [ODD, "マサバ", "all"]
    assert len(shown(explorer)) == int(cell.description) == 1
    assert "fw-on" in cell._dom_classes
    cell.click()
    assert shown(explorer) == before and "fw-on" not in cell._dom_classes


def test_every_choice_counts_again(made):
    explorer = FailureExplorer(made)
    assert dict(map(reversed, explorer.kind.options))["wrong species"] == "wrong species (2)"
    explorer.true.value = ODD
    assert dict(map(reversed, explorer.kind.options))["wrong species"] == "wrong species (1)"
    assert explorer.named.options[0] == ("any (2)", "")
    explorer.variant.value = "mask"
    explorer.kind.value = "right → wrong by masking"
    assert len(shown(explorer)) == 0
    explorer.true.value = ""
    assert shown(explorer) == ["マサバ/1.png"]


def test_photos_open_step_and_close(made):
    explorer = FailureExplorer(made)
    explorer.reset()
    explorer.slots[1].click()
    assert explorer.body.layout.display == "none" and explorer.single.layout.display is None
    first = explorer.detail.value
    explorer._step(1)
    assert explorer.detail.value != first and explorer.opened == 2
    explorer.names.value = "en"
    assert explorer.opened == 2  # the same photo, its names in another language
    explorer.back.click()
    assert explorer.body.layout.display is None and explorer.single.layout.display == "none"


def test_names_in_three_languages_and_sorting(made):
    explorer = FailureExplorer(made)
    explorer.names.value = "scientific"
    assert "Scomber japonicus" in explorer.axes[0].value and "&lt;b&gt;odd" in explorer.axes[1].value
    explorer.reset()
    explorer.sort.value = "IoU, lowest first"
    assert "IoU 0.00" in explorer.slots[0].description


def test_many_photos_come_in_pages(made, monkeypatch):
    monkeypatch.setattr("fishlib.show.widgets.explorer.PAGE", 2)
    explorer = FailureExplorer(made)
    explorer.reset()
    seen = shown(explorer)
    for _ in range(2):
        explorer._turn(1)
        seen += shown(explorer)
    assert len(seen) == len(set(seen)) == 5
    explorer._turn(1)
    assert shown(explorer) == seen[:2] and "page 1 of 3" in explorer.count.value


def test_an_explorer_of_a_folder_without_answers(made):
    (made.out / "predictions.csv").unlink()
    explorer = FailureExplorer(str(made.out))
    assert explorer.matrix.children == explorer.axes
    explorer.kind.value = "part only"
    assert shown(explorer) == ["マサバ/2.png"]
    with pytest.raises(UserError, match=r"run\.json"):
        FailureExplorer(made.out / "elsewhere")


def test_chosen_photos_get_tags_that_the_filter_knows(made):
    explorer = FailureExplorer(made)
    explorer.reset()
    first, second = shown(explorer)[:2]
    explorer.squares[0].click()
    explorer.true.value = "NA"  # a choice outlives other filters
    explorer.squares[0].click()
    assert explorer.chosen.ids == [first, "NA/5.png"] and "<b>2</b>" in explorer.chosen.count.value
    explorer.chosen.tag.value = " shadow "
    explorer.chosen.buttons["tag"].click()
    explorer.reset()
    assert "shadow (2)" in dict(explorer.tag.options) and "without a tag (3)" in dict(explorer.tag.options)
    explorer.tag.value = "shadow"
    assert set(shown(explorer)) == {first, "NA/5.png"} and "tags: shadow" in explorer.slots[0].description
    assert explorer.squares[0].description == "☑"
    again = FailureExplorer(made)  # from disk
    again.tag.value = tags.UNTAGGED
    again.kind.value = "all"
    assert len(shown(again)) == 3 and second in shown(again)
    explorer.chosen.buttons["untag"].click()
    assert shown(explorer) == [] and tags.read(made.out / tags.FILE).empty


def test_an_opened_photo_is_chosen_and_given_up(made):
    explorer = FailureExplorer(made)
    explorer.slots[1].click()
    explorer.choose_it.click()
    assert explorer.chosen.ids == [shown(explorer)[1]] and explorer.choose_it.description == "☑ chosen (x)"
    explorer.choose_it.click()
    assert explorer.chosen.ids == [] and explorer.squares[1].description == "☐"


def test_a_tag_that_cannot_be_kept_is_said(made):
    explorer = FailureExplorer(made)
    explorer.chosen.tag.value = "shadow"
    explorer.chosen.buttons["tag"].click()
    assert "Choose photos first" in explorer.chosen.said.value
    explorer._choose_all()
    explorer.chosen.tag.value = "  "
    explorer.chosen.buttons["tag"].click()
    assert "a tag needs a name" in explorer.chosen.said.value and not (made.out / tags.FILE).exists()


def test_the_choice_is_saved_as_a_table_and_a_folder(made):
    explorer = FailureExplorer(made)
    explorer._choose_all()
    explorer.chosen.photos_too.value = True
    explorer.chosen.name.value = "my <b> photos"
    explorer.chosen.buttons["save"].click()
    assert "Not saved" in explorer.chosen.said.value and "&lt;b&gt;" in explorer.chosen.said.value
    explorer.chosen.name.value = "my photos"
    explorer.chosen.buttons["save"].click()
    assert "3 photos saved in run/selections/my-photos" in explorer.chosen.said.value
    rows = pd.read_csv(made.out / "selections" / "my-photos" / "selection.csv")
    assert rows.photo_id.tolist() == explorer.chosen.ids


def test_verdicts_by_key_and_button_go_to_disk_at_once(made):
    reviewer = MaskReviewer(made, reviewer="花子")
    cuts = list(reviewer._queue.items)
    reviewer.press("g")
    reviewer.buttons["b"].click()
    reviewer.press("x")  # no key of ours
    reviewer.press("u")
    kept = reviews.read(made.out / "reviews.csv")
    assert list(kept) == reviews.COLUMNS and kept.verdict.tolist() == ["good", "bad", "unsure"]
    assert list(zip(kept.photo_id, kept.method, strict=True)) == cuts[:3] and set(kept.reviewer) == {"花子"}
    reviewer.press("z")
    reviewer.press("z")
    assert reviews.read(made.out / "reviews.csv").verdict.tolist() == ["good"]
    again = MaskReviewer(made, reviewer="花子")
    assert again._queue.items == cuts and again._queue.current == cuts[1]  # the order is the seed's
    assert "1 of 4 answered" in again.head.value


def test_two_reviewers_do_not_disturb_each_other_and_agree_as_counted(made):
    one = MaskReviewer(made, reviewer="A")
    for key in "gbgb":
        one.press(key)
    one.reviewer.value = "B"
    assert "0 of 4 answered" in one.head.value
    for key in "gbgg":
        one.press(key)
    kept = reviews.read(made.out / "reviews.csv")
    assert kept.groupby("reviewer").size().to_dict() == {"A": 4, "B": 4}
    assert "75 % alike, Cohen's kappa 0.50" in verdicts(made)


def test_the_method_is_hidden_until_wanted(made):
    reviewer = MaskReviewer(made)
    assert "GrabCut" not in reviewer.shown.value + reviewer.foot.value
    reviewer.press("g")
    assert "grabcut" not in reviewer.foot.value.lower()
    reviewer.blind.value = False
    assert "GrabCut" in reviewer.shown.value and "GrabCut" in reviewer.foot.value


def test_a_key_presses_the_button_of_its_name(made):
    """What keys.js presses by a key is found by its class, and no key has two buttons."""
    reviewer = MaskReviewer(made)
    names = [name for button in reviewer.buttons.values() for name in button._dom_classes if name.startswith("fw-key-")]
    assert names == [f"fw-key-{key}" for key in ("g", "b", "u", "z", "ArrowLeft", "ArrowRight")]
    [front] = [child for child in reviewer.children if getattr(child, "outputs", None)]
    assert "application/javascript" in front.outputs[0]["data"]


def test_arrows_look_at_neighbours_without_an_answer(made):
    reviewer = MaskReviewer(made)
    first = reviewer._queue.current
    reviewer.press("ArrowRight")
    assert reviewer._queue.current != first
    reviewer.press("ArrowLeft")
    assert reviewer._queue.current == first and not (made.out / "reviews.csv").exists()


def test_a_sample_is_the_same_photos_for_every_method(made):
    shutil.copytree(made.out / "segments" / "grabcut", made.out / "segments" / "sam")
    reviewer = MaskReviewer(made, sample=2)
    asked = {}
    for photo_id, method in reviewer._queue.items:
        asked.setdefault(method, set()).add(photo_id)
    assert asked["grabcut"] == asked["sam"] and len(reviewer._photos()) == 2
    assert "2 photos a method: if 90 % are well cut, the 95 % interval is" in reviewer.foot.value
    reviewer.sample.label = "all photos"
    assert len(reviewer._queue.items) == 8
    assert reviewer._photos() == MaskReviewer(made, sample=60)._photos()  # more than there are: all


def test_the_page_without_a_kernel_has_the_numbers_of_the_live_one(made):
    reviewer = MaskReviewer(made, reviewer="A", blind=False)
    for key in "gb":
        reviewer.press(key)
    shown = reviewer._repr_mimebundle_()["text/html"]
    assert shown == verdicts(made) and shown in reviewer.foot.value
    assert "<td>A</td><td>1</td><td>1</td><td>0</td>" in shown


def test_the_zoom_shows_what_lies_round_the_mask(made):
    reviewer = MaskReviewer(made)
    before = reviewer.shown.value
    reviewer.zoom.value = True
    assert reviewer.shown.value != before and reviewer.shown.value.count("<img") == 2


def test_an_answer_that_cannot_be_kept_is_said_and_none(made):
    reviewer = MaskReviewer(made, reviewer=" ")
    reviewer.press("g")
    assert "enter a name first" in reviewer.head.value and "0 of 4 answered" in reviewer.head.value
    reviewer.reviewer.value = "A"
    (made.out / "reviews.csv").write_text("photo_id,method\n", encoding="utf-8")  # damaged meanwhile
    reviewer.press("g")
    assert "reviews.csv" in reviewer.head.value and "0 of 4 answered" in reviewer.head.value


def test_curation_keeps_what_lay_beside_the_photos_and_reaches_the_manifest(made):
    beside = "photo_id,one_whole_fish,note\nNA/6.png,no,two fish\n"
    (made.photos / "curation.csv").write_text(beside, encoding="utf-8")
    manifest = curated(made)
    manifest.loc[manifest.photo_id == "NA/6.png", "reason"] = "curation: no"
    write_manifest(made, manifest)
    hints = pd.DataFrame({"photo_id": ["マサバ/2.png"], "hint": ["<b>blurred"]})
    curator = Curator(made, hints)
    assert curator._queue.current == "マサバ/2.png" and "&lt;b&gt;blurred" in curator.shown.value
    curator.press("n")
    kept = curation.read_decisions(made.out / "curation.csv")
    assert kept.values.tolist() == [["NA/6.png", "no", "two fish"], ["マサバ/2.png", "no", ""]]
    applied, _ = curation.apply_decisions(curated(made), curation.read_decisions(decisions_file(made)))
    assert applied.set_index("photo_id").status["マサバ/2.png"] == "excluded"
    curator.press("z")
    curator.press("u")
    again = Curator(made, hints)
    assert again._queue.answers == {"NA/6.png": "no", "マサバ/2.png": "unsure"}
    assert again._queue.current == again._queue.items[1]


def test_hints_are_found_without_being_given(made):
    noisy = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    curator = Curator(made)
    assert "blurred or dark" in curator.said["マサバ/1.png"] and curation.sharpness(noisy) > curation.BLURRED


def test_a_queue_goes_round_and_takes_back():
    log = []
    queue = Queue(["a", "b", "c"], {"b": 1}, lambda *change: log.append(change))
    queue.step(2)
    queue.answer(3)
    assert queue.current == "a"
    queue.answer(4)
    assert queue.current == "a" and queue.answers == {"a": 4, "b": 1, "c": 3}  # nothing is left: it stays
    assert queue.undo() and queue.undo() and not queue.undo()
    assert queue.current == "c" and queue.answers == {"b": 1}
    assert log == [("c", 3), ("a", 4), ("a", None), ("c", None)]
    empty = Queue([], {}, None)
    empty.step(1)
    empty.answer(1)
    assert empty.current is None and not empty.undo()


def test_an_answer_that_cannot_be_kept_is_none():
    def full(item, answer):
        raise OSError("disk full")

    queue = Queue(["a", "b"], {}, full)
    with pytest.raises(OSError, match="full"):
        queue.answer(1)
    assert queue.answers == {} and queue.current == "a"
