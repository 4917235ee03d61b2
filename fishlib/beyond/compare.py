"""Two runs held against each other: which photos, answers, tables and verdicts changed.

Photos are the same where their bytes are (sha256), whatever they are called; the answers about them are paired. Runs
that share no photo cannot be compared: what differs between them may be the photos.
"""

from typing import NamedTuple

import pandas as pd

from fishlib.beyond import evidence, words
from fishlib.errors import UserError
from fishlib.files.frames import read_frame
from fishlib.photos import manifest
from fishlib.scores import contrasts, evaluation
from fishlib.study import Study

COLUMNS = ["variant", "n", "percent_a", "percent_b", "difference", "only_a", "only_b", "p_value", "p_holm"]
ANSWERED = ["photo_id", "species", "variant", "predicted", "correct", "counted"]


class Comparison(NamedTuple):
    """photos: how many are in both, in A alone and in B alone. species: names in A alone and in B alone. answers:
    COLUMNS, a row an input that both runs asked about, B minus A on the same photos, exact McNemar, Holm among them.
    tables: files under tables/ that differ, or that one run has alone. verdicts: of A and of B, None without an answer.
    """

    photos: tuple[int, int, int]
    species: tuple[list[str], list[str]]
    answers: pd.DataFrame
    tables: list[str]
    verdicts: tuple[str | None, str | None]


def runs(a: Study, b: Study) -> Comparison:
    """B against A. UserError where they share no photo that counts, or where a manifest is missing."""
    in_a, in_b = _counted(a), _counted(b)
    shared = set(in_a["sha256"]) & set(in_b["sha256"])
    if not shared:
        raise UserError(f"{a.out} and {b.out} share no photo, so that nothing of them can be compared.")
    species_a, species_b = set(in_a["species"]), set(in_b["species"])
    return Comparison(
        photos=(len(shared), in_a["sha256"].nunique() - len(shared), in_b["sha256"].nunique() - len(shared)),
        species=(sorted(species_a - species_b), sorted(species_b - species_a)),
        answers=paired(_answers(a, in_a), _answers(b, in_b)),
        tables=_tables(a, b),
        verdicts=(_answer(a), _answer(b)),
    )


def paired(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS of the inputs that both were asked about on photos that both judged, in the order of a.

    a, b: sha256, variant, correct (0/1), one row a photo and input.
    """
    both = a.merge(b, on=["sha256", "variant"], suffixes=("_a", "_b"))
    rows = []
    for variant, mine in both.groupby("variant", sort=False):
        test = evaluation.mcnemar(mine["correct_a"], mine["correct_b"])
        rows.append(
            {
                "variant": variant,
                "n": test["n"],
                "percent_a": 100 * mine["correct_a"].mean(),
                "percent_b": 100 * mine["correct_b"].mean(),
                "difference": test["difference"],
                "only_a": test["only_a"],
                "only_b": test["only_b"],
                "p_value": test["p_value"],
            }
        )
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1])
    frame["p_holm"] = contrasts.holm(frame["p_value"])
    return frame


def text(found: Comparison) -> str:
    """A comparison as plain text."""
    both, only_a, only_b = found.photos
    lines = [f"{words.counted(both, 'photo')} in both runs, {only_a} in A alone, {only_b} in B alone."]
    for run, names in zip("AB", found.species, strict=True):
        if names:
            lines.append(f"Species in {run} alone: {', '.join(names)}.")
    lines.append("")
    if found.answers.empty:
        lines.append("No photo was named in both runs, so that their answers cannot be held against each other.")
    else:
        lines.append(f"Right in A and in B, the same photos; luck is judged among {len(found.answers)} inputs:")
    for row in found.answers.to_dict("records"):
        luck = "more than luck" if row["p_holm"] < contrasts.ALPHA else "can be luck"
        change = f"{row['percent_a']:.1f} % and {row['percent_b']:.1f} % of {row['n']}"
        lines.append(f"- {row['variant']}: {change}, {words.points(row['difference'])} points, {luck}")
    lines.append("")
    lines.append(f"Tables that differ: {', '.join(found.tables) or 'none'}.")
    first, second = found.verdicts
    if first == second:
        lines += ["The verdict is the same:", first or evidence.NOTHING_ASKED]
    else:
        lines += ["", f"A: {first or evidence.NOTHING_ASKED}", f"B: {second or evidence.NOTHING_ASKED}"]
    return "\n".join([*lines, ""])


def _counted(study: Study) -> pd.DataFrame:
    frame = manifest.curated(study)
    return frame[frame["status"] == "ok"]


def _answers(study: Study, photos: pd.DataFrame) -> pd.DataFrame:
    """sha256, variant, correct of the photos that were judged; the same bytes twice count once. No rows without any."""
    path = study.out / "predictions.csv"
    if not path.is_file():
        return pd.DataFrame(columns=["sha256", "variant", "correct"])
    rows = read_frame(path, ANSWERED)
    rows = rows[rows["counted"] == "1"].merge(photos[["photo_id", "sha256"]], on="photo_id")
    rows = rows.drop_duplicates(["sha256", "variant"])
    return rows.assign(correct=rows["correct"].astype(int))[["sha256", "variant", "correct"]]


def _tables(a: Study, b: Study) -> list[str]:
    names = {path.name for study in (a, b) for path in (study.out / "tables").glob("*.csv")}
    return sorted(name for name in names if _bytes(a, name) != _bytes(b, name))


def _bytes(study: Study, name: str) -> bytes | None:
    path = study.out / "tables" / name
    return path.read_bytes() if path.is_file() else None


def _answer(study: Study) -> str | None:
    verdict = evidence.of(study).verdict
    return None if verdict is None else verdict.answer
