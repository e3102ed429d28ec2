"""Attacks that use the host up."""

import os
import signal

from outcome import outcome


def fork_children():
    """As many children as it can have, all at once; how many those were, and why there are no more."""
    children = []

    def go_on():
        while True:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)

    return {"error": outcome(go_on), "children": len(children)}


def fork_bomb():
    """Each process makes two of itself, for ever."""
    while True:
        try:
            os.fork()
        except OSError:
            pass


def hungry_children(count):
    """Children that each take a little memory, and together too much; how each ended."""
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            kept = bytearray(2**20 * 24)
            kept[::4096] = b"x" * len(kept[::4096])
            signal.pause()
        children.append(child)
    _, status = os.wait()
    return {"first_ended_by": signal.Signals(os.WTERMSIG(status)).name}


def open_files(path):
    """Keep a file open as often as it can."""
    kept = []

    def go_on():
        while True:
            kept.append(os.open(path, os.O_RDONLY))

    error = outcome(go_on)
    for descriptor in kept:
        os.close(descriptor)
    return {"error": error, "files": len(kept)}
