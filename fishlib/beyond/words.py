"""Numbers in the plain words of a verdict."""

import math
from collections.abc import Sequence

MINUS = "−"


def things(n: int, drawn: bool, groups: int | None = None) -> str:
    """What was judged: photos, or drawn fish, which are called drawn wherever they are counted; from so many groups."""
    what = f"{n} drawn fish" if drawn else counted(n, "photo")
    return what if groups is None else f"{what} from {counted(groups, 'group')}"


def counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def points(value: float) -> str:
    """A difference with its sign and one decimal: +8.3, −0.9, 0.0."""
    text = f"{abs(value):.1f}"
    if float(text) == 0:
        return text
    return f"+{text}" if value > 0 else f"{MINUS}{text}"


def more(value: float) -> str:
    """A difference as 8.3 points more, or 0.9 points fewer."""
    return f"{abs(value):.1f} points {'fewer' if value < 0 else 'more'}"


def interval(lo: float, hi: float) -> str:
    """95 % interval −4.6 to 6.5; says so where there is none."""
    if math.isnan(lo):
        return "no interval"
    low, high = (points(end).removeprefix("+") for end in (lo, hi))
    return f"95 % interval {low} to {high}"


def listed(names: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def roughly(n: int) -> str:
    """A count that is only roughly known: two digits, rounded up, thousands apart: 3,900."""
    unit = 10 ** max(0, len(str(n)) - 2)
    return f"{math.ceil(n / unit) * unit:,}"


def how_rarely(p_value: float) -> str:
    """A p-value as how many of so many studies: in 1 of 38, in fewer than 1 of 1,000."""
    if p_value < 0.001:
        return "in fewer than 1 of 1,000"
    return f"in about 1 of {roughly(round(1 / p_value))}"


def capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
