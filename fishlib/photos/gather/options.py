"""What is gathered: options as a user writes them, checked before anything is asked."""

from datetime import date, timedelta
from typing import NamedTuple

from fishlib.errors import UserError
from fishlib.photos.gather import licences

EACH = 100  # photos a species; the paper has some 35
PER_OBSERVER = 5  # photos a species and observer: a few diligent people took most
SIDE = 1024
SMALLEST, LARGEST = 224, 8192  # pixels that --size may say; networks see 224


class Options(NamedTuple):
    """Days are inclusive; None and empty text narrow nothing."""

    licences: tuple[str, ...] = licences.DEFAULT  # codes of licences.CODES
    each: int | None = EACH
    per_observer: int | None = PER_OBSERVER
    place: str = ""
    first: date | None = None
    end: date | None = None
    side: int = SIDE


def checked(
    allowed: list[str] | None = None,
    each: int | None = None,
    per_observer: int | None = None,
    place: str = "",
    years: str = "",
    after: str = "",
    side: int = SIDE,
    everything: bool = False,
) -> Options:
    """The options. years: "2015-2024" or "2020"; after: "2021-05-31". UserError names the one that cannot be meant.

    everything: what states no number of photos is not limited, instead of EACH and PER_OBSERVER.
    """
    if not everything:
        each = EACH if each is None else each
        per_observer = PER_OBSERVER if per_observer is None else per_observer
    if (each is not None and each < 1) or (per_observer is not None and per_observer < 1):
        raise UserError("--each and --per-observer are numbers of photos; give 1 or more.")
    if not SMALLEST <= side <= LARGEST:
        raise UserError(f"--size {side} is no long side in pixels; give {SMALLEST} to {LARGEST}.")
    first, end = _years(years)
    if after:
        younger = _day_after(after)
        first = max(first, younger) if first else younger
    if first and end and first > end:
        raise UserError(f"--years {years} and --observed-after {after} leave no day; change one of them.")
    chosen = licences.chosen(allowed or licences.DEFAULT)
    return Options(chosen, each, per_observer, place.strip(), first, end, side)


def told(options: Options) -> dict[str, str]:
    """The options in words, for the card."""
    return {
        "licences": ", ".join(options.licences),
        "photos a species": f"at most {options.each}" if options.each else "all",
        "photos a species and observer": f"at most {options.per_observer}" if options.per_observer else "all",
        "place": options.place or "anywhere",
        "observed": f"{options.first or 'any day'} to {options.end or 'any day'}",
        "long side": f"at most {options.side} pixels",
    }


def _years(text: str) -> tuple[date | None, date | None]:
    if not text:
        return None, None
    begin, _, end = text.partition("-")
    try:
        first, last = date(int(begin), 1, 1), date(int(end or begin), 12, 31)
    except ValueError as error:
        raise UserError(f"--years {text} are no years; give 2020 or 2015-2024.") from error
    if first > last:
        raise UserError(f"--years {text} run backwards; give the earlier one first.")
    return first, last


def _day_after(text: str) -> date:
    try:
        return date.fromisoformat(text) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise UserError(f"--observed-after {text} is no day; give one such as 2021-05-31.") from error
