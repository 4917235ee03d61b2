"""The table of models in docs/ says what the weights' manifest says."""

from pathlib import Path

from fishlib import weights
from fishlib.show import model_table

PAGE = Path(__file__).parents[1] / "docs" / "models.md"


def test_the_page_holds_the_table_of_the_manifest():
    made = model_table.markdown()
    assert made in PAGE.read_text(encoding="utf-8"), f"paste this into {PAGE.name}:\n{made}"


def test_a_row_says_size_licence_and_what_is_gated(monkeypatch):
    entries = {
        "whole": {"for": "x", "licence": "MIT", "files": [{"file": "a.pth", "size": 1_500_000_000}]},
        "part": {
            "for": "y",
            "licence": "own",
            "gated": "accept it",
            "files": [{"file": "a.pth", "size": 2_000_000}, {"file": "b.onnx", "size": None}],
        },
        "small": {"for": "z", "licence": "MIT", "files": [{"file": "c.json", "size": None}]},
    }
    monkeypatch.setattr(weights, "manifest", lambda: entries)
    assert model_table.markdown().splitlines()[2:] == [
        "| `whole` | x | 1,500 MB | MIT |",
        "| `part` | y | over 2 MB | own; **gated** |",
        "| `small` | z | not published | MIT |",
    ]
