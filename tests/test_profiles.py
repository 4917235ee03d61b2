import pytest
import yaml

from fishlib import profiles
from fishlib.errors import UserError


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
