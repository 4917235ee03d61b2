"""One network for the threads of a stage, each of which takes a block of pictures all the way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import cv2
import numpy as np

from fishlib.study import Study

Ask = Callable[..., np.ndarray]  # (namer.Classifier, what the function is given) -> an answer


@contextmanager
def network(study: Study, source: str, ask: Ask | None = None) -> Iterator[Callable[..., np.ndarray]]:
    """A function of pictures, uint8 (B, S, S, 3), for many threads; its first call loads the network of that source.

    ask: what to do with the network and what the function is given; None: its features (B, D), see namer.features.
    """
    lock = threading.Lock()
    loaded = []

    def answer(*pictures: np.ndarray) -> np.ndarray:
        import torch  # which a cached run never needs

        from fishlib.naming import classifier

        with lock:
            if not loaded:
                profile = study.profile
                side = profile.composite.size
                loaded.append(classifier.load(source, profile.backbone, study.device, profile.seed, side=side))
        [model] = loaded
        on_cpu = model.device.type == "cpu"
        if on_cpu and torch.get_num_threads() != 1:
            torch.set_num_threads(1)  # for this thread alone
        with nullcontext() if on_cpu else lock:  # a GPU takes one block at a time
            return (ask or classifier.features)(model, *pictures)

    try:
        yield answer
    finally:
        if loaded:
            import torch

            torch.set_num_threads(torch.get_num_threads())  # threads made later take what was set last


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """The workers keep every core busy; OpenCV's own threads, which wait by counting, would take their time."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
