"""What species are called: the paper's names, the user's own in names.csv, and the order of numbers in names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishlib.errors import UserError
from fishlib.opening import open_study
from fishlib.photos import own_names, species
from fishlib.photos.manifest import scan
from fishlib.show import names


@pytest.fixture(autouse=True)
def forgotten():
    yield
    species.use({})


def test_names_of_ones_own_come_before_the_papers_and_the_folders(made):
    (made.photos / "names.csv").write_text("folder,japanese,scientific,english\nNA,ナ,,sea bass\nマサバ,,,mackerel\n")
    again = open_study(str(made.out))
    assert species.label("NA", "ja") == "ナ" and species.label("NA", "en") == "sea bass"
    assert species.label("NA", "scientific") == "ナ"  # it has none: the first that it has
    assert species.label("マサバ", "en") == "mackerel" and species.label("マサバ", "scientific") == "Scomber japonicus"
    assert not any(photo_id.startswith("names") for photo_id in scan(made.photos).photo_id)
    (made.out / "names.csv").write_text("folder,english\nNA,cod\n")
    assert own_names.read(again) == {"NA": {"en": "cod"}}  # the run's own


def test_another_run_forgets_them(made):
    species.use({"NA": {"en": "cod"}})
    open_study(str(made.out))
    assert species.names("NA") == {}


@pytest.mark.parametrize(
    ("rows", "said"),
    [("NA,a\nNA,b", r"names\.csv, row 3, names the folder NA a second time"), (",a", r"row 2, names no folder")],
)
def test_a_mistake_is_a_sentence_with_its_row(made, rows, said):
    (made.photos / "names.csv").write_text(f"folder,english\n{rows}\n")
    with pytest.raises(UserError, match=said):
        open_study(str(made.out))


def test_every_name_says_its_language_and_which_choice_shows_it():
    html = names.html("Thunnus_albacares")
    assert '<span class="n n-ja" lang="ja">キハダ</span>' in html
    assert '<span class="n n-scientific" lang="la"> Thunnus albacares</span>' in html
    assert '<span class="n n-en" lang="en"> yellowfin tuna</span>' in html
    species.use({"x": {"en": "<b>cod"}})
    assert names.html("x") == '<span class="n n-ja n-scientific n-en" lang="en">&lt;b&gt;cod</span>'
    assert names.html("<i>y") == "&lt;i&gt;y"


def test_numbers_in_names_sort_by_size():
    given = ["IMG 10.jpg", "IMG 2.jpg", "IMG 1.jpg", "a", "IMG 02.jpg"]
    assert sorted(given, key=species.natural) == ["IMG 1.jpg", "IMG 02.jpg", "IMG 2.jpg", "IMG 10.jpg", "a"]
    assert species.ordered(["sp 10", "sp 2", "カツオ"]) == ["カツオ", "sp 2", "sp 10"]


@given(st.lists(st.text()))
def test_any_names_have_an_order(texts):
    once = sorted(texts, key=species.natural)
    texts.reverse()
    assert sorted(texts, key=species.natural) == once
