"""Threads that help a caller with work that is shared out while it lasts.

Leaner than `concurrent.futures`, whose hand-over there and back takes a tenth of what eight small images take to draw.
"""

import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue


class Help:
    """A call that some thread may make, or nobody, if its caller is done before a thread is free."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._claim, self._running = threading.Lock(), threading.Lock()
        self._running.acquire()

    def run(self) -> None:
        """Make the call, unless its caller is done."""
        if self._claim.acquire(blocking=False):
            try:
                self._work()
            finally:
                self._running.release()

    def finish(self) -> None:
        """Wait for the call's end if it has begun; otherwise it will not begin."""
        if not self._claim.acquire(blocking=False):
            self._running.acquire()


class Team:
    """Threads that wait for work; there are as many as were ever asked for at once."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Help] = SimpleQueue()
        self._size, self._growing = 0, threading.Lock()

    def help(self, work: Callable[[], object], helpers: int) -> list[Help]:
        """Ask so many threads to make a call; `Help.finish` each."""
        if helpers > self._size:
            self._grow(helpers)
        asked = [Help(work) for _ in range(helpers)]
        for each in asked:
            self._waiting.put(each)
        return asked

    def _grow(self, size: int) -> None:
        with self._growing:
            while self._size < size:
                threading.Thread(target=self._serve, name="ganverse-rendering", daemon=True).start()
                self._size += 1

    def _serve(self) -> None:
        while True:
            self._waiting.get().run()


@cache
def team() -> Team:
    """This process's team."""
    return Team()


# Threads do not survive a fork: a child starts its own.
os.register_at_fork(after_in_child=team.cache_clear)
