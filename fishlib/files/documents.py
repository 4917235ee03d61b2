"""JSON and YAML from anyone: bounded in bytes, depth and names, nothing in them runs."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

from fishlib.errors import UserError

MAX_BYTES = 64 << 20  # of a JSON file we keep ourselves (run.json, notes, details); COCO files may say more
MAX_YAML = 1 << 20
MAX_DEPTH = 64


def read_json(path: Path, max_bytes: int = MAX_BYTES, constants: bool = False) -> Any:
    """What a JSON file says. UserError, naming the file, where it is missing, too large, too deep or no JSON.

    NaN and Infinity, which are no JSON but which Python writes, are refused; with constants they come as text.
    """
    text = _text(path, max_bytes, "JSON")
    try:
        value = json.loads(text, parse_constant=str if constants else _no_constant)
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be read as JSON.") from error
    except ValueError as error:  # a JSONDecodeError, or a number of too many digits
        raise UserError(f"{path} is no readable JSON file ({_short(error)}).") from error
    _hold_depth(value, path)
    return value


def read_object(path: Path, max_bytes: int = MAX_BYTES, constants: bool = False) -> dict[str, Any]:
    """`read_json` for a file that must hold an object ({...})."""
    value = read_json(path, max_bytes, constants)
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object ({{...}}) but a {type(value).__name__}.")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping of a YAML file: plain text, numbers, lists and mappings with text as keys.

    UserError, naming the file, for anchors and aliases (a few hundred bytes of them unfold to gigabytes), tags, dates,
    NaN, a key given twice, a file over 1 MiB or nested too deeply, and one that holds no mapping.
    """
    text = _text(path, MAX_YAML, "YAML")
    try:
        value = yaml.load(text, Loader=_PlainLoader)
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be read as YAML.") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is no readable YAML file: {_short(error)}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} must be a YAML mapping of parameters (name: value).")
    _hold_depth(value, path)
    return value


class _PlainLoader(yaml.SafeLoader):
    """YAML's plain part: no aliases, no tags, no dates, no key twice."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1} uses an alias (*name); write it out")
        event = self.peek_event()
        if getattr(event, "anchor", None):
            raise yaml.YAMLError(f"line {event.start_mark.line + 1} has an anchor (&name); write it out")
        if getattr(event, "tag", None):
            raise yaml.YAMLError(f"line {event.start_mark.line + 1} has a tag ({event.tag}); write a plain value")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        """Keys are the text they were written as: `1` and `true` are names like any other."""
        mapping = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {line} has a key that is no name")
            if key.value in mapping:
                raise yaml.YAMLError(f"line {line} says {key.value} a second time")
            mapping[key.value] = self.construct_object(value, deep=True)
        return mapping

    def construct_yaml_float(self, node):
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1} says {node.value}, which is no number to work with")
        return value


_PlainLoader.add_constructor("tag:yaml.org,2002:float", _PlainLoader.construct_yaml_float)
_PlainLoader.yaml_implicit_resolvers = {  # a date stays the text it was written as; << merges nothing
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":merge"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _text(path: Path, max_bytes: int, kind: str) -> str:
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"{path} is missing.")
        size = path.stat().st_size
        if size > max_bytes:
            raise UserError(f"{path} has {size:,} bytes; {kind} files over {max_bytes:,} are not read.")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no {kind} file in UTF-8 (byte {error.start}); save it as UTF-8.") from error


def _hold_depth(value: Any, path: Path) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    raise UserError(f"{path} is nested more than {MAX_DEPTH} levels deep.")


def _children(value: Any) -> list:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]} ..."
