"""A share of the photos for one of several machines that work in one run folder: shard 3/16 is the third of sixteen.

A photo belongs to a shard by the hash of its photo_id, so that every machine knows its share without asking another.
"""

import hashlib
import re
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fishlib.errors import UserError
from fishlib.files import locks

MOST = 100_000  # shards: more than any cluster's job array takes


class Shard(NamedTuple):
    """The share `number`, from 1, of so many."""

    number: int = 1
    of: int = 1


WHOLE = Shard()


def parse(text: str) -> Shard:
    """The shard of a text such as 3/16; UserError where it is none."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, re.ASCII)
    number, of = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= of <= MOST:
        raise UserError(
            f"--shard {text!r} is no share; it takes one such as 3/16: the third of sixteen, 1/16 to 16/16."
        )
    return Shard(number, of)


def holds(shard: Shard, name: str) -> bool:
    """Does what goes by that name (a photo_id) belong to the shard? Each name belongs to one shard of as many."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % shard.of == shard.number - 1


@contextmanager
def held(run: Path, what: str, shard: Shard):
    """Hold one shard of a stage in a run folder while the block runs, so that none is worked on twice.

    Other shards go on beside it.

    what: the stage, for others to read and for the name of the lock. Raises locks.InUse, which names the holder.
    """
    name = f"{what}-{shard.number}-of-{shard.of}"
    with locks.held(run, f"fishlib {what} --shard {shard.number}/{shard.of}", file=name):
        yield
