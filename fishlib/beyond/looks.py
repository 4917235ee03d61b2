"""What a network answers to pictures that are put together for one question, each once asked and kept in the cache."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from fishlib import cache
from fishlib.files.progress import Bar
from fishlib.naming import checkpoints
from fishlib.naming.features import WORKERS
from fishlib.naming.threads import Ask, network, opencv_on_one_thread
from fishlib.study import Study, stage


class Look(NamedTuple):
    """One picture to be asked about. made_of: JSON-able, all that it hangs on beside the code that makes it (hashes of
    photos and masks, the name of the recipe); make: the picture, uint8 (S, S, 3), or a tuple of arrays for an Ask of
    one's own; called where it is needed.
    """

    made_of: list
    make: Callable[[], np.ndarray | tuple[np.ndarray, ...]]


def compute(
    study: Study, looks: Sequence[Look], source: str, code: str, ask: Ask | None = None, workers: int = WORKERS
) -> np.ndarray:
    """A network's answers to the pictures, float32 (N, ...), in their order; source: see naming.features.

    ask: given the network and the stacked pictures of a block; None: its features, (N, D). code: version of the code
    that makes the pictures and asks (cache.code_version), for the key. In blocks as naming.features, so that a second
    call computes nothing and a killed one goes on. A picture that comes more than once is asked about once. Raises
    features.Changed and UserError as the pictures do.
    """
    keys = [cache.key(look=look.made_of) for look in looks]
    once = dict(zip(keys, looks, strict=True))
    answers = _blocks(study, list(once.values()), source, code, ask, workers)
    place = {key: at for at, key in enumerate(once)}
    return answers[[place[key] for key in keys]]


def _blocks(study: Study, looks: list[Look], source: str, code: str, ask: Ask | None, workers: int) -> np.ndarray:
    """Answers to different pictures, see compute."""
    network_of = checkpoints.identity(source, study.profile.backbone, study.profile.seed)
    size = study.profile.block
    found: dict[int, np.ndarray] = {}
    stopped = threading.Event()

    def block(start: int) -> int:
        """Put the answers of one block into found; how many were computed."""
        if stopped.is_set():
            return 0
        part = looks[start : start + size]
        key = cache.key(looks=[look.made_of for look in part], network=network_of, code=code)
        entry = cache.entry(study.cache, "looks", key)
        values = (cache.load(entry) or {}).get("answers")
        absent = values is None or values.dtype != np.float32 or len(values) != len(part)
        if absent:
            values = answer(*_stacked([look.make() for look in part]))
            cache.save(entry, compress=False, answers=values)
        found[start] = values
        bar.update(len(part))
        return len(part) if absent else 0

    with (
        stage(study, "looks") as record,
        Bar(total=len(looks), desc="looks", unit="picture", leave=False) as bar,
        network(study, source, ask) as answer,
        opencv_on_one_thread(),
        ThreadPoolExecutor(workers) as pool,
    ):
        try:
            record["computed"] = sum(pool.map(block, range(0, len(looks), size)))
        finally:
            stopped.set()
        record["reused"] = len(looks) - record["computed"]
    return np.concatenate([found[start] for start in sorted(found)])


def _stacked(pictures: list) -> tuple[np.ndarray, ...]:
    """The pictures of a block, (B, ...), or of tuples a stack for each place of them."""
    if isinstance(pictures[0], tuple):
        return tuple(np.stack(parts) for parts in zip(*pictures, strict=True))
    return (np.stack(pictures),)
