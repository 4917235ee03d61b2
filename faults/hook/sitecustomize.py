"""Imported by every Python that the harness starts: does something at the n-th write below a folder.

FAULT_FOLDER   the folder whose writes count
FAULT_COUNTER  a file that gets one byte a write, over all processes of the command; <name>.killed tells of a kill
FAULT_AT       the write at which something happens (counted from 1)
FAULT_DO       kill: SIGKILL to this process; ENOSPC, EROFS, EACCES: that error, at this write and every later one;
               nothing: only count
FAULT_CLOCK    seconds added to time.time
"""

import errno
import os
import signal
import sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _install() -> None:
    folder = os.environ.get("FAULT_FOLDER", "")
    at, what = int(os.environ.get("FAULT_AT", "0")), os.environ.get("FAULT_DO", "")
    counter = os.open(os.environ["FAULT_COUNTER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def below(path) -> bool:
        if isinstance(path, bytes | os.PathLike):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return False
        whole = os.path.abspath(path)  # noqa: PTH100 - a link stays itself
        return whole == folder or whole.startswith(folder + os.sep)

    def watch(event: str, values: tuple) -> None:
        if event == "open":
            path, mode, flags = values
            writes = any(letter in (mode or "") for letter in "wax+") or bool((flags or 0) & WRITES)
            if not writes or not below(path):
                return
        elif event in ("os.rename", "os.mkdir", "os.remove"):
            if not below(values[0]):
                return
        else:
            return
        os.write(counter, b".")
        count = os.fstat(counter).st_size
        if not at or count < at:
            return
        if what == "kill" and count == at:
            os.close(os.open(os.environ["FAULT_COUNTER"] + ".killed", os.O_WRONLY | os.O_CREAT))
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "ENOSPC" and event in ("os.rename", "os.remove"):
            return  # neither needs room
        if what in ("ENOSPC", "EROFS", "EACCES"):
            code = getattr(errno, what)
            raise OSError(code, os.strerror(code), os.fspath(values[0]))

    sys.addaudithook(watch)


def _shift_clock(seconds: float) -> None:
    import time

    real = time.time
    time.time = lambda: real() + seconds


if "FAULT_COUNTER" in os.environ:
    _install()
if "FAULT_CLOCK" in os.environ:
    _shift_clock(float(os.environ["FAULT_CLOCK"]))
