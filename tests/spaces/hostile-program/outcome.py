"""What an attempt came to, in a word."""

import errno
import os


def outcome(attempt, *arguments):
    """The name of the error that the kernel gave, or "done"."""
    try:
        attempt(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    return "done"


def call(function, *arguments):
    """A function of the C library's; raises its error."""
    import ctypes

    ctypes.set_errno(0)
    if function(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def libc():
    """The C library."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True)
