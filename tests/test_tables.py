import html.parser

import pandas as pd
import pytest

from fishlib.files.frames import read_frame
from fishlib.scores import published
from fishlib.show import tables, typeset

NASTY = '<b>"x"|&_%'


def segment_scores():
    """Two methods on six photos of two species; one photo unreadable, one without a mask, one not judged."""
    rows = [
        ("a/1.jpg", "Thunnus_albacares", "ok", 1, "ok", 1),
        ("a/2.jpg", "Thunnus_albacares", "ok", 0, "ok", None),
        ("a/3.jpg", "Thunnus_albacares", "no_detection", None, "ok", 1),
        ("b/1.jpg", NASTY, "mask_rejected", None, "ok", 1),
        ("b/2.jpg", NASTY, "ok", 1, "ok", 1),
        ("b/3.jpg", NASTY, "unreadable", None, "unreadable", None),
    ]
    frame = pd.DataFrame(
        [
            (i, s, m, st, w)
            for i, s, st1, w1, st2, w2 in rows
            for m, st, w in [("grabcut", st1, w1), ("gdino-sam", st2, w2)]
        ],
        columns=["photo_id", "species", "method", "status", "well_cut"],
    )
    return frame.astype({"well_cut": float})


def predictions():
    """The paper's own counts as predictions, so that every cell must equal the printed one."""
    table, rows = published.table(2), []
    for s in table.to_dict("records"):
        for variant in ("original", "crop", "mask", "crop_mask"):
            for i in range(s["n"]):
                correct = int(i < s[f"{variant}_count"])
                rows.append((f"{s['name_ja']}/{i}.jpg", s["scientific_name"].replace(" ", "_"), variant, correct, 1))
    return pd.DataFrame(rows, columns=["photo_id", "species", "variant", "correct", "counted"])


def variants(**right):
    """Ten photos, the given number right in each variant."""
    rows = [(f"{i}.jpg", "shrimp", v, int(i < n), 1) for v, n in right.items() for i in range(10)]
    return pd.DataFrame(rows, columns=["photo_id", "species", "variant", "correct", "counted"])


def test_table1_counts_what_counts():
    table = tables.table1(segment_scores(), {"detic": "its weights are missing."}).set_index("species")
    assert table.index.tolist() == ["Thunnus_albacares", NASTY, "総計"]
    assert table["n"].tolist() == [3, 2, 5]
    assert table["grabcut_count"].tolist() == [1, 1, 2] and table["grabcut"].tolist() == [33.3, 50.0, 40.0]
    assert table["gdino_sam_count"].tolist() == [2, 2, 4] and table["gdino_sam"].tolist() == [100, 100, 100]
    assert table["gdino_sam_unreviewed"].tolist() == [1, 0, 1] and "grabcut_unreviewed" not in table


def test_table1_puts_printed_values_only_where_the_paper_has_them():
    table = tables.table1(segment_scores(), {}).set_index("species")
    assert table.loc["Thunnus_albacares", ["n_paper", "gdino_sam_paper", "detic_paper"]].tolist() == [
        35,
        91.4,
        85.7,
    ]
    assert table.loc[NASTY].filter(like="_paper").isna().all()
    assert table.loc["総計", ["n_paper", "detic_paper", "sam_clip_paper", "gdino_sam_paper"]].tolist() == [
        601,
        90.5,
        65.9,
        95.7,
    ]
    assert "grabcut_paper" not in table


def test_table1_says_what_was_not_run_and_why():
    table = tables.table1(segment_scores(), {"detic": "its weights are missing."})
    assert (table["detic"] == "not run").all() and table["detic_count"].isna().all()
    assert table.attrs["notes"] == [
        "Detic not run: its weights are missing.",
        "SAM-CLIP not run: no result in this run.",
    ]
    assert "its weights are missing" in typeset.html(table, "") and "not run" in typeset.html(table, "")


def test_a_method_that_ran_keeps_its_numbers_whatever_the_reason_list_says():
    assert tables.table1(segment_scores(), {"grabcut": "slow"})["grabcut"].tolist() == [33.3, 50.0, 40.0]


def test_two_rows_of_a_photo_are_refused():
    frame = segment_scores()
    with pytest.raises(ValueError, match="duplicate"):
        tables.table1(pd.concat([frame, frame]), {})


def test_table2_of_the_papers_counts_is_the_papers_table():
    table = tables.table2(predictions())
    for variant in ("original", "crop", "mask", "crop_mask"):
        assert (table[variant] == table[f"{variant}_paper"]).all()
        assert table[f"{variant}_count"].iloc[:-1].sum() == table[f"{variant}_count"].iloc[-1]
    last = table.iloc[-1]
    assert last["species"] == "micro-F1" and (last["n"], last["n_paper"]) == (601, 601)
    assert [last[f"{v}_count"] for v in ("original", "crop", "mask", "crop_mask")] == [440, 445, 437, 441]


def test_table2_leaves_out_uncounted_photos_and_names_missing_variants():
    frame = variants(original=4, mask=6)
    frame.loc[frame["photo_id"] == "0.jpg", "counted"] = 0
    table = tables.table2(frame)
    assert table[["original_count", "mask_count", "n"]].to_numpy().tolist() == [[3, 5, 9]] * 2
    assert table["crop"].tolist() == ["not run", "not run"] and table["crop_paper"].iloc[-1] == 74.0


def test_variants_of_different_photos_are_refused():
    frame = variants(original=4, mask=6)
    with pytest.raises(ValueError, match="different photos"):
        tables.table2(frame.drop(index=0))


def test_table3_and_table4_find_their_variants():
    frame = variants(crop_mask=7, crop_mask_white=5, crop_mask_d3=6, crop_mask_d20=1, crop_mask_pink=2)
    colours = tables.table3(frame).set_index("background")
    assert colours.index.tolist() == ["black", "blue", "green", "red", "white", "pink"]
    assert colours["micro_f1"].tolist() == [70, "not run", "not run", "not run", 50, 20]
    assert colours["micro_f1_paper"].tolist()[:5] == [73.4, 69.7, 69.9, 71.7, 70.2]
    assert pd.isna(colours.loc["pink", "micro_f1_paper"])
    dilations = tables.table4(frame).set_index("n_dilations")
    assert dilations.index.tolist() == [0, 1, 3, 5, 10, 15, 20]
    assert dilations["micro_f1_count"].fillna(-1).tolist() == [7, -1, 6, -1, -1, -1, 1]


@pytest.mark.parametrize(("count", "n", "shown"), [(1, 16, 6.3), (440, 601, 73.2), (3, 3, 100.0), (0, 7, 0.0)])
def test_percent_rounds_halves_up(count, n, shown):
    assert tables.percent(count, n) == shown


def test_display_shows_percent_count_and_how_many_were_judged():
    shown = typeset.display(tables.table1(segment_scores(), {}))
    assert shown["GDINO-SAM", "this run % (count)"].tolist() == [
        "100.0 (2 of 2 judged)",
        "100.0 (2)",
        "100.0 (4 of 4 judged)",
    ]
    assert shown["GDINO-SAM", "paper %"].tolist() == ["91.4", "", "95.7"]
    assert shown["", "species"].tolist() == ["キハダ Thunnus albacares", NASTY, "総計"]


def test_nothing_judged_is_no_percentage(tmp_path):
    """Neither of cut-outs that wait, nor of the one photo without a mask beside them."""
    frame = segment_scores().assign(well_cut=float("nan"))
    table = tables.table1(frame, {})
    said = typeset.display(table)["GrabCut", "this run % (count)"].tolist()
    assert said == ["not judged yet (2 wait)", "not judged yet (1 wait)", "not judged yet (3 wait)"]
    typeset.write(table, tmp_path / "table1", "")
    kept = pd.read_csv(tmp_path / "table1.csv")
    assert kept[["grabcut", "grabcut_count"]].isna().all(axis=None) and kept["grabcut_unreviewed"].tolist() == [2, 1, 3]


def test_photos_without_a_mask_wait_for_the_last_verdict():
    frame = segment_scores()
    mine = frame[frame.method == "grabcut"].reset_index(drop=True)  # of five photos two have no mask, one is bad
    assert mine.well_cut.tolist()[:3] == [1, 0, pytest.approx(float("nan"), nan_ok=True)]
    partly = mine.assign(well_cut=[1, float("nan"), float("nan"), float("nan"), 1, float("nan")])
    said = typeset.display(tables.table1(partly, {}))["GrabCut", "this run % (count)"].tolist()
    assert said == ["100.0 (1 of 1 judged)", "100.0 (1 of 1 judged)", "100.0 (2 of 2 judged)"]
    said = typeset.display(tables.table1(mine, {}))["GrabCut", "this run % (count)"].tolist()
    assert said == ["33.3 (1)", "50.0 (1)", "40.0 (2)"]


def test_a_missed_fish_with_a_true_mask_counts_while_others_wait():
    mine = segment_scores().query("method == 'grabcut'").assign(status="no_detection", well_cut=0)
    waits = mine.iloc[[0]].assign(photo_id="waits", status="ok", well_cut=float("nan"))
    said = typeset.display(tables.table1(pd.concat([mine, waits]), {}))["GrabCut", "this run % (count)"]
    assert said.iloc[-1] == f"0.0 (0 of {len(tables.counted(mine))} judged)"


def test_a_species_called_like_a_formula_is_none_in_a_spreadsheet(tmp_path):
    name = "=cmd|' /C calc'!A0"
    frame = variants(original=4).assign(species=name)
    typeset.write(tables.table2(frame), tmp_path / "table2", "")
    assert pd.read_csv(tmp_path / "table2.csv").species[0] == f"'{name}"
    assert read_frame(tmp_path / "table2.csv").species[0] == name


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_html_escapes_names_and_caption_and_aligns_numbers():
    page = typeset.html(tables.table1(segment_scores(), {}), "<script>x</script>")
    parser = Tags()
    parser.feed(page)
    assert "b" not in parser.tags and "script" not in parser.tags
    assert NASTY in parser.text and any("<script>" in t for t in parser.text)
    assert '<td class="num paper">91.4</td>' in page and '<tr class="total">' in page


def test_files_escape_names_and_are_the_same_bytes_twice(tmp_path):
    table = tables.table1(segment_scores(), {"detic": "50 % of a_b"})
    for folder in ("one", "two"):
        typeset.write(table, tmp_path / folder / "table1", "Table 1. Caption | 100 %")
    files = {s: (tmp_path / "one" / f"table1.{s}").read_bytes() for s in ("csv", "md", "tex")}
    assert files == {s: (tmp_path / "two" / f"table1.{s}").read_bytes() for s in files}
    md, tex = files["md"].decode(), files["tex"].decode()
    rows = [line for line in md.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in rows}) == 1 and len(rows) == 5
    assert r'&lt;b&gt;"x"\|&amp;\_% ' in md
    assert r'\textless{}b\textgreater{}"x"\textbar{}\&\_\%' in tex and r"50 \% of a\_b" in tex
    assert tex.count(r"\toprule") == 1 and r"\caption{Caption \textbar{} 100 \%" in tex and "キハダ" in tex


def test_csv_holds_exact_counts_and_reads_back(tmp_path):
    frame = predictions()
    table = tables.table2(frame[frame["variant"] != "mask"])
    typeset.write(table, tmp_path / "table2", "")
    again = pd.read_csv(tmp_path / "table2.csv", encoding="utf-8")
    assert again["original_count"].sum() == 880 and again["original"].iloc[-1] == 73.2
    assert typeset.html(again, "") in typeset.html(table, "").replace(typeset._full("", table), "")


def test_caption_names_masks_classifier_and_that_fish_are_drawn():
    facts = {"drawn": True, "method": "gdino-sam", "classifier": "Lite0", "n_photos": 5, "notes": ["More."]}
    text = typeset.caption(2, facts)
    for part in ("Table 2.", "DRAWN", "Masks: GDINO-SAM.", "Classifier: Lite0.", "5 photos", "601", "More."):
        assert part in text
    plain = typeset.caption(2, {"drawn": False, "method": "grabcut"})
    assert "DRAWN" not in plain and "GrabCut" in plain
    assert "Masks:" not in typeset.caption(1, facts)
