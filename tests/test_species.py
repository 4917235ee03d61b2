import pytest

from fishlib.photos import species


def test_the_papers_17_species_in_its_order():
    rows = species.all_species()
    assert len(rows) == 17
    assert (rows[0]["name_ja"], rows[-1]["scientific_name"]) == ("イソマグロ", "Thunnus obesus")
    for column in ("name_ja", "scientific_name", "name_en", "folder"):
        assert len({row[column] for row in rows}) == 17
    assert all(row["folder"] == row["scientific_name"].replace(" ", "_") for row in rows)


@pytest.mark.parametrize(
    "name", ["キハダ", "ｷﾊﾀﾞ", "Thunnus_albacares", "thunnus  albacares", "YELLOWFIN tuna", "キハタ\u3099"]
)
def test_any_spelling_finds_the_row(name):
    assert species.find(name)["folder"] == "Thunnus_albacares"


def test_any_other_name_is_a_species_too():
    assert species.find("sea_bass") is None
    assert species.label("sea_bass", "en") == "sea_bass"
    assert species.label("Thunnus_albacares") == "キハダ"
    assert species.label("キハダ", "scientific") == "Thunnus albacares"


def test_a_caller_cannot_change_the_table():
    species.all_species()[0]["name_ja"] = species.find("マサバ")["name_ja"] = "?"
    assert species.all_species()[0]["name_ja"] == "イソマグロ"
    assert species.find("Scomber japonicus")["name_ja"] == "マサバ"


def test_order():
    assert species.ordered(["zebra", "メバチ", "ayu", "Gymnosarda_unicolor"]) == [
        "Gymnosarda_unicolor",
        "メバチ",
        "ayu",
        "zebra",
    ]
