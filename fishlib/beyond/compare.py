"""Two runs held against each other: which photos, answers, tables and verdicts changed.

Photos are the same where their bytes are (sha256), whatever they are called; the answers about them are paired. Runs
that share no photo cannot be compared: what differs between them may be the photos.
"""

from typing import NamedTuple

import pandas as pd

from fishlib.beyond import companions, evidence, words
from fishlib.errors import UserError
from fishlib.files.frames import read_frame
from fishlib.photos import manifest
from fishlib.photos.composite import BASIC, LABELS
from fishlib.scores import contrasts, evaluation
from fishlib.study import Study

COLUMNS = ["variant", "n", "percent_a", "percent_b", "difference", "only_a", "only_b", "p_value", "p_holm"]
CHANGED = ["photo_id", "species", "variant", "named_a", "named_b", "right_in"]
ANSWERED = ["photo_id", "species", "variant", "predicted", "correct", "counted"]


class Comparison(NamedTuple):
    """photos: how many are in both, in A alone and in B alone. species: names in A alone and in B alone. answers:
    COLUMNS, a row an input that both runs asked about, B minus A on the same photos, exact McNemar (groups: signs of
    whole groups flipped), Holm among them. changed: CHANGED, a row a photo (as B calls it) and simple input that was
    named otherwise; right_in: A, B or neither. groups: how many each run has of the shared photos, None where photos
    count alone. tables: files under tables/ that differ, or that one run has alone. verdicts: of A and of B, None
    without an answer.
    """

    photos: tuple[int, int, int]
    species: tuple[list[str], list[str]]
    answers: pd.DataFrame
    changed: pd.DataFrame
    groups: tuple[int | None, int | None]
    tables: list[str]
    verdicts: tuple[str | None, str | None]


def runs(a: Study, b: Study) -> Comparison:
    """B against A. UserError where they share no photo that counts, or where a manifest is missing."""
    in_a, in_b = _counted(a), _counted(b)
    shared = set(in_a["sha256"]) & set(in_b["sha256"])
    if not shared:
        raise UserError(f"{a.out} and {b.out} share no photo, so that nothing of them can be compared.")
    species_a, species_b = set(in_a["species"]), set(in_b["species"])
    answers_a, answers_b = _answers(a, in_a), _answers(b, in_b)
    of_a, of_b = _groups(a, in_a, shared), _groups(b, in_b, shared)
    coarser = max((groups for groups in (of_a, of_b) if groups is not None), key=_sharing, default=None)
    return Comparison(
        photos=(len(shared), in_a["sha256"].nunique() - len(shared), in_b["sha256"].nunique() - len(shared)),
        species=(sorted(species_a - species_b), sorted(species_b - species_a)),
        answers=paired(answers_a, answers_b, coarser),
        changed=changed(answers_a, answers_b),
        groups=(_count(of_a), _count(of_b)),
        tables=_tables(a, b),
        verdicts=(_answer(a), _answer(b)),
    )


def paired(a: pd.DataFrame, b: pd.DataFrame, groups: pd.Series | None = None) -> pd.DataFrame:
    """COLUMNS of the inputs that both were asked about on photos that both judged, in the order of a.

    a, b: sha256, variant, correct (0/1), one row a photo and input. groups: name a sha256, where groups, not photos,
    are independent.
    """
    both = a.merge(b, on=["sha256", "variant"], suffixes=("_a", "_b"))
    rows = []
    for variant, mine in both.groupby("variant", sort=False):
        test = evaluation.mcnemar(mine["correct_a"], mine["correct_b"])
        if groups is not None:
            changes = mine["correct_b"] - mine["correct_a"]
            test["p_value"] = contrasts.sign_flip(changes, groups.reindex(mine["sha256"]).tolist())
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


def changed(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """CHANGED of the simple inputs. a, b: as paired, with photo_id, species and predicted."""
    both = a.merge(b, on=["sha256", "variant"], suffixes=("_a", "_b"))
    both = both[both["variant"].isin(BASIC) & (both["predicted_a"] != both["predicted_b"])]
    right_in = pd.Series("neither", index=both.index)
    right_in[both["correct_a"] == 1] = "A"
    right_in[both["correct_b"] == 1] = "B"
    values = [both[name] for name in ("photo_id_b", "species_b", "variant", "predicted_a", "predicted_b")]
    frame = pd.DataFrame(dict(zip(CHANGED, [*values, right_in], strict=True)), columns=CHANGED)
    return frame.sort_values(["species", "photo_id", "variant"], ignore_index=True)


def facts(found: Comparison) -> list[str]:
    """Sentences on what the two runs share, and which tables differ."""
    both, only_a, only_b = found.photos
    lines = [f"{words.counted(both, 'photo')} in both runs, {only_a} in A alone, {only_b} in B alone."]
    for run, names in zip("AB", found.species, strict=True):
        if names:
            lines.append(f"Species in {run} alone: {', '.join(names)}.")
    if any(found.groups):
        of_a, of_b = (f"{n} groups" if n else "no groups" for n in found.groups)
        lines.append(f"The shared photos are of {of_a} in A and of {of_b} in B; luck is judged by the fewer.")
    lines.append(f"Tables that differ: {', '.join(found.tables) or 'none'}.")
    return lines


def luck(row: dict) -> str:
    """Whether a row of COLUMNS can be luck."""
    return "more than luck" if row["p_holm"] < contrasts.ALPHA else "can be luck"


def text(found: Comparison) -> str:
    """A comparison as plain text."""
    lines = [*facts(found), ""]
    if found.answers.empty:
        lines.append("No photo was named in both runs, so that their answers cannot be held against each other.")
    else:
        lines.append(f"Right in A and in B, the same photos; luck is judged among {len(found.answers)} inputs:")
    for row in found.answers.to_dict("records"):
        change = f"{row['percent_a']:.1f} % and {row['percent_b']:.1f} % of {row['n']}"
        lines.append(f"- {row['variant']}: {change}, {words.points(row['difference'])} points, {luck(row)}")
    lines.append("")
    if len(found.changed):
        lines += [f"Named otherwise: {_told(found.changed)}.", ""]
    first, second = found.verdicts
    if first == second:
        lines += ["The verdict is the same:", first or evidence.NOTHING_ASKED]
    else:
        lines += ["", f"A: {first or evidence.NOTHING_ASKED}", f"B: {second or evidence.NOTHING_ASKED}"]
    return "\n".join([*lines, ""])


def _told(changes: pd.DataFrame) -> str:
    """How many photos are named otherwise in which input."""
    return ", ".join(f"{n} in {LABELS[variant]}" for variant, n in changes["variant"].value_counts(sort=False).items())


def _groups(study: Study, photos: pd.DataFrame, shared: set[str]) -> pd.Series | None:
    """The group of each shared photo, by sha256; None where photos of this run count alone."""
    kept = companions.read(study)
    mine = photos[photos["sha256"].isin(shared)].drop_duplicates("sha256")
    found = companions.of(kept, mine["photo_id"])
    return None if found is None else found.reindex(mine["photo_id"]).set_axis(mine["sha256"])


def _sharing(groups: pd.Series) -> int:
    """How many photos share their group with one before them."""
    return len(groups) - groups.nunique()


def _count(groups: pd.Series | None) -> int | None:
    return None if groups is None else groups.nunique()


def _counted(study: Study) -> pd.DataFrame:
    frame = manifest.curated(study)
    return frame[frame["status"] == "ok"]


def _answers(study: Study, photos: pd.DataFrame) -> pd.DataFrame:
    """Of the photos that were judged; the same bytes twice count once. No rows without any."""
    columns = ["sha256", "photo_id", "species", "variant", "predicted", "correct"]
    path = study.out / "predictions.csv"
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    rows = read_frame(path, ANSWERED)
    rows = rows[rows["counted"] == "1"].merge(photos[["photo_id", "sha256"]], on="photo_id")
    rows = rows.drop_duplicates(["sha256", "variant"])
    return rows.assign(correct=rows["correct"].astype(int))[columns]


def _tables(a: Study, b: Study) -> list[str]:
    names = {path.name for study in (a, b) for path in (study.out / "tables").glob("*.csv")}
    return sorted(name for name in names if _bytes(a, name) != _bytes(b, name))


def _bytes(study: Study, name: str) -> bytes | None:
    path = study.out / "tables" / name
    return path.read_bytes() if path.is_file() else None


def _answer(study: Study) -> str | None:
    verdict = evidence.of(study).verdict
    return None if verdict is None else verdict.answer
