"""Errors a user can cause. Each message is one sentence: the file, what is wrong, what to do."""


class UserError(Exception):
    """A mistake in what the user gave; command line and notebooks show it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a traceback's place: the sentence alone. The cell has failed all the same."""
        return [f"{type(self).__name__}: {self}"]


class UnreadablePhoto(UserError):
    """A file that is no readable photo; the scan turns it into a row with this reason."""


class NotRun(UserError):
    """A method that cannot run here (weights missing, say); its column says so with this reason."""
