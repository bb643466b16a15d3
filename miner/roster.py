"""The engines of a process over all its searches; one that tells wrong finds is set aside."""

import threading
from collections.abc import Sequence

from miner.engine import Engine
from miner.model import EngineUnavailableError, MinerError, WrongFindError


class Roster:
    """The engines that may be used, and a spare one for when none of them may."""

    def __init__(self, engines: Sequence[Engine], spare: Engine) -> None:
        """Take the engines in the order in which they are named to people."""
        self._engines = tuple(engines)
        self._lock = threading.Lock()
        #: Why engines are not used any more, by name.
        self.aside: dict[str, str] = {}
        #: The engine that is used when no other is.
        self.spare = spare

    def usable(self) -> Sequence[Engine]:
        """Return the engines to use; the spare one when there are none."""
        with self._lock:
            usable = [engine for engine in self._engines if engine.name not in self.aside]
        return usable or [self.spare]

    def failed(self, engine: Engine, error: Exception) -> str:
        """Take that an engine failed; return what to tell people.

        One that has not what it needs, or told a wrong find, is not used any more; any other error
        costs it this search.
        """
        if not isinstance(error, EngineUnavailableError | WrongFindError):
            return f"{engine.name} stopped, until the next block: {_words(error)}"
        with self._lock:
            self.aside[engine.name] = _words(error)
        return f"{engine.name} is set aside: {_words(error)}"

    def warm(self) -> list[str]:
        """Make all engines ready, so that no block waits for them; blocks.

        Return in words what is wrong with those that are not.
        """
        troubles = []
        for engine in self.usable():
            try:
                engine.warm()
            except Exception as error:
                troubles.append(self.failed(engine, error))
        return troubles


def _words(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, MinerError) else f"{type(error).__name__}: {text}"
