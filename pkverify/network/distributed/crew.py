"""The processes that share a job. They meet at torch.distributed's store, and tell each other only numbers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from torch import distributed
from torch.distributed.rendezvous import rendezvous

from pkverify.errors import InputError

_WAIT = timedelta(minutes=30)
_LOOK = 0.05  # seconds between two looks at whether the others are done


class Crew:
    """One process among those that share a job, or a process by itself.

    Chains of tiles are drawn from a counter in the store, so that a quick process takes more of them. No process waits
    for another while there is work, and none fails because another does.

    Args:
        store: A ``torch.distributed.Store`` where they meet; None for a process by itself.
        rank: The number of this process.
        world: How many there are.
    """

    def __init__(self, store: Any = None, rank: int = 0, world: int = 1) -> None:
        self._store: Any = cast("Any", distributed).HashStore() if store is None else store
        self.rank, self.world = rank, world

    @staticmethod
    def here() -> Crew:
        """The crew that torchrun started, by its environment; a process by itself without it."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return Crew()
        store, rank, world = next(iter(cast("Any", rendezvous("env://"))))
        return Crew(store, rank, world)

    def first(self, action: Callable[[], None]) -> None:
        """Let rank 0 act before the others go on; its error is raised on all.

        Raises:
            InputError: That of rank 0.
        """
        if self.rank == 0:
            try:
                action()
            except InputError as error:
                self._store.set("begun", json.dumps([error.what, error.why, error.fix]))
                raise
            self._store.set("begun", "null")
            return
        self._store.wait(["begun"], _WAIT)
        parts = json.loads(self._store.get("begun"))
        if parts is not None:
            raise InputError(*parts)

    def draw(self) -> int:
        """The number of the next chain."""
        return self._store.add("drawn", 1) - 1

    def count(self) -> int:
        """Count a tile that stands; how many there are on all ranks together."""
        return self._store.add("tiles", 1)

    def is_last(self) -> bool:
        """Say that this rank found no chain any more; True for the last one to say it."""
        return self._store.add("idle", 1) == self.world

    def leave(self, failure: InputError | None = None) -> None:
        """The end, good or bad. Rank 0 may hold the store, so it stays until all have left.

        Raises:
            InputError: On rank 0, that of another rank.
        """
        if failure is not None:
            self._store.set("failed", json.dumps([failure.what, failure.why, failure.fix]))
        left = self._store.add("left", 1)
        while self.rank == 0 and failure is None and left < self.world:
            time.sleep(_LOOK)
            left = self._store.add("left", 0)
        if self.rank == 0 and failure is None and self._store.check(["failed"]):
            raise InputError(*json.loads(self._store.get("failed")))
