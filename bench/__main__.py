"""`python -m bench [PART...]`: measure, print a table, keep runs/bench.json."""

import importlib
import json
import sys
from pathlib import Path

from tqdm import tqdm

from fishlib.files import writing

ROOT = Path(__file__).parents[1]
PARTS = ["study", "classifier", "segmenters", "zoo", "statistics"]


def main(wanted: list[str]) -> int:
    path = ROOT / "runs" / "bench.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if wanted and path.is_file() else []
    for part in wanted or PARTS:
        for measure in tqdm(importlib.import_module(f"bench.{part}").MEASURES, desc=part):
            for row in measure():
                rows = [r for r in rows if r["name"] != row["name"]] + [row]
                writing.write_text(path, json.dumps(rows, indent=1))
    width = max(len(r["name"]) for r in rows)
    for r in rows:
        print(f"{r['name']:<{width}}  {r['value']:>10.4g}  {r['target']:>10}  {'holds' if r['holds'] else 'MISSED'}")
        print(f"{'':<{width}}  {r['how']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
