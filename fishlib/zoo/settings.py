"""Sizes, words and other settings of the tiny models: models.json."""

import json
from functools import cache
from pathlib import Path


@cache
def settings(name: str) -> dict | list:
    """Sizes of a model, or words of one kind that the tiny text encoders know, from models.json."""
    return json.loads(Path(__file__).with_name("models.json").read_text(encoding="utf-8"))[name]
