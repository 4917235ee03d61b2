"""Keeps the packages' chatter off the screen while a network is built, read or run."""

import contextlib
import io
import warnings


@contextlib.contextmanager
def quiet():
    """No prints, warnings or progress bars of the packages, which a user can do nothing about."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
