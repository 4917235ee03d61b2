"""Errors a user can cause. Each message is one sentence: the file, what is wrong, what to do."""


class UserError(Exception):
    """A mistake in what the user gave; the command line prints it without a traceback."""


class UnreadablePhoto(UserError):
    """A file that is no readable photo; the scan turns it into a row with this reason."""


class NotRun(UserError):
    """A method that cannot run here (weights missing, say); its column says so with this reason."""
