"""Tables as CSV files."""

from pathlib import Path

import pandas as pd

from fishlib.files import writing


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """A CSV (UTF-8, \\n, no index), atomically; 9 digits hold a float32 and drop the noise of a float64."""
    writing.write_text(path, frame.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
