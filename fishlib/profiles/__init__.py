"""Profiles: every parameter of a run in one YAML file, checked on load. Defaults name their source there."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fishlib.errors import UserError

FOLDER = Path(__file__).parent
BACKGROUNDS = {  # table 3; pure RGB colours are our choice, the paper names colours only
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "white": (255, 255, 255),
}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Drawn(Section):
    """The drawn pictures that stand in where the user gives no photos."""

    photos: int = Field(ge=17)
    min_per_species: int = Field(ge=1)


class Composite(Section):
    size: int = Field(ge=32, le=1024)
    fit: Literal["squash", "letterbox"]
    crop_margin: float = Field(ge=0, le=1)
    backgrounds: list[str]
    dilations: list[int]


class Whole(Section):
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    batch: int = Field(ge=2)


class Transfer(Section):
    shots: list[int] = Field(min_length=1)
    trials: int = Field(ge=1, le=1000)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    variants: list[Literal["original", "crop", "mask", "crop_mask"]]
    tune: Literal["head", "all"]
    whole: Whole


class Profile(Section):
    name: str
    seed: int = Field(ge=0)
    working_side: int = Field(ge=64, le=4096)
    drawn: Drawn
    method: str
    compare: list[str]
    segmenters: dict[str, dict]
    good_iou: float = Field(gt=0, le=1)
    composite: Composite
    backbone: str
    classifier: str | None
    pretrainings: list[str]
    transfer: Transfer
    block: int = Field(ge=1, le=512)


def load(source: str | Path) -> Profile:
    """The profile of that name (`demo`, `paper`) or file. UserError for an unknown key or a wrong value."""
    path = FOLDER / f"{source}.yaml" if str(source) in names() else Path(source)
    if not path.is_file():
        raise UserError(f"Profile {str(source)!r} is neither one of {', '.join(names())} nor a YAML file.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no readable YAML file: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no profile: it must be a YAML mapping of parameters.")
    if base := values.pop("based_on", None):
        if base not in names():
            raise UserError(f"{path}: based_on must be one of {', '.join(names())}, not {base!r}.")
        values = _merge(load(base).model_dump(), values)
    try:
        profile = Profile.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_say(e)}" for e in error.errors())
        raise UserError(f"{path} is no valid profile: {problems}.") from error
    unknown = [b for b in profile.composite.backgrounds if b not in BACKGROUNDS]
    if unknown:
        raise UserError(f"{path}: unknown background {unknown[0]!r}; choose from {', '.join(BACKGROUNDS)}.")
    return profile


def restore(values: dict) -> Profile:
    """The profile a finished run kept (its model_dump); a parameter that came later has demo's value."""
    return Profile(**_merge(load("demo").model_dump(), values))


def names() -> list[str]:
    """The profiles that come with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def _say(error: dict) -> str:
    return "unknown key" if error["type"] == "extra_forbidden" else error["msg"].lower()


def _merge(base: dict, changes: dict) -> dict:
    """`changes` over `base`, section by section, so that a user's file states only what differs."""
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = _merge(base[name], value) if both else value
    return merged
