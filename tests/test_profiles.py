import copy
import importlib
import json

import pytest
import yaml

from fishlib import opening, profiles
from fishlib.errors import UserError
from fishlib.removal import segmenters


@pytest.mark.parametrize("name", profiles.names())
def test_profiles_that_come_with_the_package_load(name):
    assert profiles.load(name).name == name


def test_the_papers_protocol_is_the_default():
    profile = profiles.load("paper")
    assert profile.transfer.shots == [1, 2, 3, 4, 5] and profile.transfer.trials == 10
    assert (profile.transfer.epochs, profile.transfer.learning_rate) == (100, 5e-4)
    assert profile.composite.dilations == [0, 1, 3, 5, 10, 15]
    assert profile.backbone == "swin_tiny_patch4_window7_224"
    assert profile.drawn.photos == 601


def test_a_users_file_states_only_what_differs(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"based_on": "demo", "name": "mine", "transfer": {"trials": 3}}))
    profile = profiles.load(path)
    assert profile.transfer.trials == 3 and profile.transfer.epochs == 100


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("based_on: demo\ntrialz: 3\n", "trialz: unknown key"),
        ("based_on: demo\ntransfer: {trialz: 3}\n", "transfer.trialz: unknown key"),
        ("based_on: demo\ntransfer: {trials: many}\n", "transfer.trials"),
        ("based_on: demo\ngood_iou: 1.5\n", "good_iou"),
        ("based_on: demo\ncomposite: {backgrounds: [mauve]}\n", "mauve"),
        ("based_on: nothing\n", "based_on must be one of"),
        ("name: mine\n", "required"),
        ("- a list\n", "mapping"),
        ("{", "YAML"),
    ],
)
def test_a_wrong_profile_is_named_in_one_sentence(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        profiles.load(path)
    assert "mine.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_profile_lists_those_there_are():
    with pytest.raises(UserError, match="demo, paper"):
        profiles.load("nowhere")


WRONG = [
    None,
    True,
    -1,
    1.5,
    10**30,
    "x",
    "",
    "../..",
    "a\nb",
    "\x00",
    [],
    [1],
    [None],
    [[1]],
    {},
    {"a": 1},
    "é" * 5000,
]


def places(values, above=()):
    for name, value in values.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from places(value, (*above, name))


def with_value(values, place, value):
    changed = copy.deepcopy(values)
    section = changed
    for name in place[:-1]:
        section = section[name]
    section[place[-1]] = value
    return changed


def every_value() -> dict:
    """Demo's profile with every option of every method written out."""
    values = profiles.load("demo").model_dump()
    for method in profiles.METHODS:
        module = importlib.import_module(segmenters.MODULES[method])
        values["segmenters"][method] = module.DEFAULTS | values["segmenters"].get(method, {})
    return values


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:12])
def test_a_wrong_value_anywhere_is_accepted_by_its_limits_or_one_sentence(tmp_path, wrong):
    values = every_value()
    path = tmp_path / "p.yaml"
    refused = 0
    for place in places(values):
        path.write_text(json.dumps(with_value(values, place, wrong)), encoding="utf-8")
        try:
            opening.asked(str(tmp_path / "run"), profile=str(path))
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20


@pytest.mark.parametrize(
    "line",
    [
        "seed: 2001-99-99",
        "name: !!int x",
        "segmenters: {gdino-sam: {box_threshold: .nan}}",
        f"seed: {'9' * 5000}",
        f"a: {'[' * 3000}",
        "a: &a [1]\nb: *a",
    ],
    ids=lambda line: line[:20],
)
def test_odd_yaml_is_one_sentence(tmp_path, line):
    path = tmp_path / "odd.yaml"
    path.write_text(f"based_on: demo\n{line}\n")
    with pytest.raises(UserError, match=r"odd\.yaml") as caught:
        opening.asked(str(tmp_path / "run"), profile=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("gdino-sam: {box_threshold: 7}", "box_threshold is 7"),
        ("sam-clip: {probability: 1.5}", "probability is 1.5"),
        ("sam-clip: {labels: [fish, 1]}", "labels holds 1, but each is a text"),
        ("detic: {classes: [a]}", "classes holds 'a', but each is a number"),
        ("detic: {classes: [true]}", "classes holds True, but each is a number"),
    ],
)
def test_a_value_of_a_methods_option_that_cannot_be_meant_is_refused_before_anything_runs(tmp_path, options, said):
    path = tmp_path / "p.yaml"
    path.write_text(f"based_on: demo\nsegmenters: {{{options}}}\n")
    with pytest.raises(UserError, match=said):
        opening.start(str(tmp_path / "run"), profile=str(path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("written", "meant"), [("grabcutt", "grabcut"), ("gdino_sam", "gdino-sam")])
def test_an_unknown_method_of_a_profile_names_the_nearest(tmp_path, written, meant):
    path = tmp_path / "p.yaml"
    path.write_text(f"based_on: demo\nmethod: {written}\n")
    with pytest.raises(UserError, match=f"did you mean {meant}"):
        profiles.load(path)
