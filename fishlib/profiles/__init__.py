"""Profiles: every parameter of a run in one YAML file, checked on load. Defaults name their source there."""

import difflib
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from fishlib.errors import UserError
from fishlib.files import documents, paths

FOLDER = Path(__file__).parent
BACKGROUNDS = {  # table 3; pure RGB colours are our choice, the paper names colours only
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "white": (255, 255, 255),
}
# removal/segmenters has a module for each: the paper's, those of today, and one without a network
METHODS = ("gdino-sam", "sam-clip", "detic", "gdino-sam2", "sam3", "rembg", "grabcut")
TRUTH = "truth"  # the true masks in a method's place
VARIANTS = ("original", "crop", "mask", "crop_mask")
MAX_TEXT = 4096  # letters of a value; the longest are paths
MAX_NUMBER = 1e9  # of a method's option; its module knows what makes sense
MAX_LIST = 100
MOST_NAMED = 5  # problems in one sentence


def _plain_name(text: str) -> str:
    """A name that is shown in pages and Markdown: no markup can be in it."""
    if not re.fullmatch(r"\w[\w .-]{0,63}", text):
        raise ValueError("may hold letters, digits, blanks and . - _ alone, at most 64")
    return text


def _known_background(name: str) -> str:
    if name not in BACKGROUNDS:
        raise ValueError(f"unknown background {name!r}, choose from {', '.join(BACKGROUNDS)}")
    return name


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _option(value: Any) -> Any:
    """An option of a method: text, a number, true or false, nothing, or a list of these; its module knows more."""
    if isinstance(value, list):
        if len(value) > MAX_LIST:
            raise ValueError(f"has {len(value)} entries, more than {MAX_LIST}")
        return [_single(one) for one in value]
    return _single(value)


def _single(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not (math.isfinite(value) and abs(value) <= MAX_NUMBER):
            raise ValueError(f"must be a number between -{MAX_NUMBER:.0e} and {MAX_NUMBER:.0e}")
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be text, a number or a list of these, not a {type(value).__name__}")
    if len(value) > MAX_TEXT or not value.isprintable():
        raise ValueError(f"must be printable text of at most {MAX_TEXT} letters")
    return value


WholeNumber = Annotated[int, Field(strict=True)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_single)]
Options = dict[str, Annotated[Any, BeforeValidator(_option)]]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Drawn(Section):
    """The drawn pictures that stand in where the user gives no photos."""

    photos: WholeNumber = Field(ge=17, le=100_000)
    min_per_species: WholeNumber = Field(ge=1, le=10_000)


class Composite(Section):
    size: WholeNumber = Field(ge=32, le=1024)
    fit: Literal["squash", "letterbox"]
    crop_margin: Number = Field(ge=0, le=1)
    backgrounds: list[Annotated[Text, AfterValidator(_known_background)]] = Field(max_length=MAX_LIST)
    dilations: list[Annotated[WholeNumber, Field(ge=0, le=1000)]] = Field(max_length=MAX_LIST)


class Whole(Section):
    epochs: WholeNumber = Field(ge=1, le=100_000)
    learning_rate: Number = Field(gt=0, le=10)
    batch: WholeNumber = Field(ge=2, le=4096)


class Transfer(Section):
    shots: list[Annotated[WholeNumber, Field(ge=1, le=10_000)]] = Field(min_length=1, max_length=MAX_LIST)
    trials: WholeNumber = Field(ge=1, le=1000)
    epochs: WholeNumber = Field(ge=1, le=100_000)
    learning_rate: Number = Field(gt=0, le=10)
    variants: list[Literal["original", "crop", "mask", "crop_mask"]] = Field(max_length=4)
    tune: Literal["head", "all"]
    whole: Whole


class Network(Section):
    """A pre-training with a backbone of its own. backbone: timm's name; weights: none, imagenet, or a checkpoint."""

    backbone: Annotated[Text, Field(pattern=r"^[a-z0-9_.]+$")]
    weights: Text


def _form(value: Any) -> str:
    return {dict: "mapping", Network: "mapping", list: "list"}.get(type(value), "text")


Label = Annotated[Text, AfterValidator(_plain_name)]
Weights = Annotated[Annotated[Text, Tag("text")] | Annotated[Network, Tag("mapping")], Discriminator(_form)]
# what figure 3 is drawn for: names of weights, or labels and what each stands for
Pretrainings = Annotated[
    Annotated[list[Text], Field(min_length=1, max_length=MAX_LIST), Tag("list")]
    | Annotated[dict[Label, Weights], Field(min_length=1, max_length=MAX_LIST), Tag("mapping")],
    Discriminator(_form),
]


class Fusion(Section):
    """Two inputs that name a photo together: by the mean of their features, by both side by side, or by the mean of the
    shares that a head on each gives, whose weight is chosen on the K photos alone."""

    how: Literal["mean", "side by side", "shares"]
    of: list[Text] = Field(min_length=2, max_length=2)


class Beyond(Section):
    """Notebook 05's questions about backgrounds, outlines and masks: on so many photos of each species at most. inside:
    variants whose last feature map is pooled under the mask as well; fusions: of variants, or those + "_inside"."""

    learnt_from: WholeNumber = Field(ge=1, le=10_000)
    asked: WholeNumber = Field(ge=1, le=10_000)
    inside: list[Literal["original", "crop", "mask", "crop_mask"]] = Field(max_length=4)
    fusions: list[Fusion] = Field(max_length=MAX_LIST)

    @model_validator(mode="after")
    def _fuses_what_there_is(self) -> "Beyond":
        there = [*VARIANTS, *(f"{name}_inside" for name in self.inside)]
        for fusion in self.fusions:
            for name in fusion.of:
                if name not in there:
                    raise ValueError(f"fusions: {name!r} is no input, choose from {', '.join(there)}")
        return self


class Profile(Section):
    name: Annotated[Text, AfterValidator(_plain_name)]
    seed: WholeNumber = Field(ge=0, le=2**31 - 1)  # OpenCV takes no larger one
    working_side: WholeNumber = Field(ge=64, le=4096)
    drawn: Drawn
    method: Text
    compare: list[Text] = Field(max_length=MAX_LIST)
    segmenters: dict[str, Options]
    good_iou: Number = Field(gt=0, le=1)
    composite: Composite
    backbone: Text
    classifier: Text | None
    pretrainings: Pretrainings
    transfer: Transfer
    beyond: Beyond
    block: WholeNumber = Field(ge=1, le=512)


def load(source: str | Path) -> Profile:
    """The profile of that name (`demo`, `paper`) or file. UserError, naming file and field, for an unknown key, a wrong
    value, and a method that there is not."""
    path = FOLDER / f"{source}.yaml" if str(source) in names() else Path(source)
    if not _is_file(path):
        raise UserError(f"Profile {str(source)!r} is neither one of {', '.join(names())} nor a YAML file.")
    values = documents.read_yaml(path)
    if "based_on" in values:
        base = values.pop("based_on")
        if base not in names():
            raise UserError(f"{path}: based_on must be one of {', '.join(names())}, not {base!r}.")
        values = _merge(load(base).model_dump(), values)
    return _profile(values, path)


def restore(values: dict) -> Profile:
    """The profile a finished run kept (its model_dump); a parameter that came later has demo's value.

    UserError for what no run keeps.
    """
    return _profile(_merge(load("demo").model_dump(), values), "The profile that a run kept")


def names() -> list[str]:
    """The profiles that come with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def hold_method(method: str, segmenters: dict[str, dict]) -> None:
    """UserError, with near misses, for a method that neither is known nor has masks of another program."""
    own = [name for name, options in segmenters.items() if "masks" in options]
    known = [*METHODS, TRUTH, *(name for name in own if name not in METHODS)]
    if method in known:
        return
    near = difflib.get_close_matches(method, known, 2)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise UserError(
        f"Unknown method {method!r}{meant}; choose one of {', '.join(known)}, name one of your own as --method "
        "module:function, or masks that another program made in a profile (segmenters: {NAME: {masks: PATH}})."
    )


def _profile(values: dict, origin: Path | str) -> Profile:
    try:
        profile = Profile.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        said = [f"{_place(problem)}: {_say(problem)}" for problem in problems[:MOST_NAMED]]
        more = f"; and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise UserError(f"{origin} is no valid profile: {'; '.join(said)}{more}.") from error
    try:
        _hold_names(profile)
    except UserError as error:
        raise UserError(f"{origin} is no valid profile: {error}") from error
    return profile


def _hold_names(profile: Profile) -> None:
    """Every method named is one there is, and can be the name of a folder of its own under segments/."""
    taken = {paths.fold(name): name for name in (*METHODS, TRUTH)}
    for name in profile.segmenters:
        paths.part_of_a_name(name, "segmenters: the method")
        other = taken.setdefault(paths.fold(name), name)
        if other != name:
            raise UserError(f"segmenters: the methods {name} and {other} differ in capitals alone; rename one.")
    for name in (*profile.segmenters, *profile.compare, profile.method):
        hold_method(name, profile.segmenters)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def _place(error: dict) -> str:
    """Where in the file, without the names of the forms that a value may have."""
    return ".".join(str(part) for part in error["loc"] if part not in ("list", "mapping", "text", "[key]"))


def _say(error: dict) -> str:
    if error["type"] == "union_tag_invalid":
        return "takes a list of weights, or label: weights, or label: {backbone: ..., weights: ...}"
    if error["type"] == "extra_forbidden":
        return "unknown key"
    said = error["msg"].removeprefix("Value error, ")
    return said[:1].lower() + said[1:200]


def _merge(base: dict, changes: dict) -> dict:
    """`changes` over `base`, section by section, so that a user's file states only what differs."""
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = _merge(base[name], value) if both else value
    return merged
