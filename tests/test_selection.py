"""Tags on disk, and chosen photos taken away: by hand-made files of a run."""

import os
from dataclasses import replace

import pandas as pd
import pytest
from conftest import NASTY, ODD

from fishlib.errors import UserError
from fishlib.show import cases, selection, tags, views

FORMULA = "=HYPERLINK(1)"


def test_tags_are_kept_at_once_and_each_once(made):
    tags.put(made, ["マサバ/1.png", f"{ODD}/{NASTY}.png"], "shadow")
    tags.put(made, ["マサバ/1.png", "マサバ/2.png"], " shadow ")
    tags.put(made, ["マサバ/1.png"], "cut-off  tail")
    assert tags.of_photos(made)["マサバ/1.png"] == ("shadow", "cut-off tail")
    assert len(tags.read(made.out / tags.FILE)) == 4
    tags.put(made, ["マサバ/1.png"], "shadow", on=False)
    assert tags.of_photos(made)["マサバ/1.png"] == ("cut-off tail",)
    assert tags.of_photos(made)["マサバ/2.png"] == ("shadow",)


def test_a_tag_like_a_formula_is_text_in_a_spreadsheet_and_itself_when_read(made):
    tags.put(made, [f"{ODD}/4.png"], FORMULA)
    assert f"'{FORMULA}" in (made.out / tags.FILE).read_text(encoding="utf-8")
    assert tags.of_photos(made)[f"{ODD}/4.png"] == (FORMULA,)


def test_a_table_of_tags_that_a_person_made(made):
    text = "\ufeffTag;Photo_ID\r\n影;マサハ\u3099/1.png\r\n;マサバ/2.png\r\n影;.\\マサバ\\1.png\r\n"
    (made.out / tags.FILE).write_text(text, encoding="utf-8", newline="")
    decomposed = "マサハ\u3099"
    assert tags.of_photos(made) == {f"{decomposed}/1.png".replace(decomposed, "マサバ"): ("影",)}
    (made.out / tags.FILE).write_text("photo_id\na\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"tags\.csv has no column 'tag'"):
        cases.table(made)


@pytest.mark.parametrize("tag", ["", "  \n", "a" * 61, "bell\a"])
def test_what_is_no_tag_is_refused_in_a_sentence(made, tag):
    with pytest.raises(UserError, match="a tag"):
        tags.put(made, ["マサバ/1.png"], tag)
    assert not (made.out / tags.FILE).exists()


def test_filters_and_captions_know_tags(made):
    tags.put(made, ["マサバ/2.png"], "shadow")
    rows = cases.table(made)
    assert cases.pick(rows, tag="shadow").photo_id.tolist() == ["マサバ/2.png"]
    assert len(cases.pick(rows, tag=tags.UNTAGGED)) == 4 and len(cases.pick(rows)) == 5
    assert "tags: shadow" in views.failure_grid(made, tag="shadow")
    assert tags.known(rows["tags"]) == ["shadow", "cut-off tail"]


def test_a_selection_has_a_row_a_photo_and_the_photos_as_they_are(made):
    chosen = [f"{ODD}/{NASTY}.png", "マサバ/1.png", "NA/5.png", "NA/6.png", "nowhere.png"]  # two are not counted
    tags.put(made, chosen[:1], "shadow")
    tags.put(made, chosen[:1], "cut-off tail")
    folder = selection.export(made, chosen, "mine", photos=True, variant="mask")
    rows = pd.read_csv(folder / selection.TABLE, keep_default_na=False)
    assert list(rows) == selection.COLUMNS and rows.photo_id.tolist() == chosen[:3]
    assert rows.loc[0, ["variant", "predicted", "tags"]].tolist() == ["mask", "マサバ", "shadow; cut-off tail"]
    copied = {p.relative_to(folder / "photos").as_posix() for p in (folder / "photos").rglob("*.png")}
    assert copied == set(chosen[:3])
    assert (folder / "photos" / chosen[0]).read_bytes() == (made.photos / chosen[0]).read_bytes()
    again = selection.export(made, chosen[1:2], "mine", photos=True)  # replaced, nothing of the first stays
    assert again == folder and [p.name for p in (folder / "photos").rglob("*.png")] == ["1.png"]


@pytest.mark.parametrize("name", ["..", "/etc", "a/b", "", ".hidden", "x" * 70])
def test_a_name_that_leads_elsewhere_is_refused(made, name):
    with pytest.raises(UserError, match="selection"):
        selection.export(made, ["マサバ/1.png"], name)


def test_nothing_chosen_and_a_photo_that_is_gone_are_sentences(made, tmp_path):
    with pytest.raises(UserError, match="choose photos first"):
        selection.export(made, [])
    with pytest.raises(UserError, match=r"1\.png is gone"):
        selection.export(replace(made, photos=tmp_path / "elsewhere"), ["マサバ/1.png"], photos=True)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_in_the_place_of_the_folder_is_refused(made, tmp_path):
    (made.out / selection.FOLDER).symlink_to(tmp_path)
    with pytest.raises(UserError, match="link"):
        selection.export(made, ["マサバ/1.png"])
