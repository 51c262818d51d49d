"""What a worker of a cluster is asked when a run begins, or when it joins one that goes on.

Sent to the workers as it is, so that one that lacks this package can say so: nothing of it is
imported before it is used.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
from pathlib import Path
from typing import Any

from distributed import Worker
from distributed.core import Status
from distributed.diagnostics.plugin import WorkerPlugin

PACKAGE = "textmetric.cluster"


class Greeting(WorkerPlugin):  # type: ignore[misc]
    """Gives a worker the resource that jobs of a run need, if it is the same as the client.

    Each worker has the resource once, so that it does one job at a time, and none has it that
    would give other results or does not see the files. Whom it greets, and what differs, it writes
    to the topic of the run as ``["worker", address, name, differences, refused]``.

    Args:
        run: the name of the run, of the resource and of the topic.
        expected: what the client is, see :func:`.alike.signature`.
        module: of the jobs' function.
        seen: a file of the run and its content; None if files go through a store.
        mixed: take workers that differ, too.
        own: the workers were started for the run, here: Ctrl-C reaches them as well, and is left to
            the client, which ends them.
    """

    def __init__(
        self,
        run: str,
        expected: dict[str, str],
        module: str,
        seen: tuple[str, str] | None,
        mixed: bool,
        own: bool,
    ) -> None:
        self.name = run
        self._expected = expected
        self._module = module
        self._seen = seen
        self._mixed = mixed
        self._own = own

    async def setup(self, worker: Worker) -> None:
        """Greet a worker."""
        if self._own:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        differences = await asyncio.to_thread(self._differences)
        unseen = self._unseen()
        missing = any(each.endswith("is missing") for each in differences)
        refused = bool(unseen) or missing or (bool(differences) and not self._mixed)
        worker.log_event(
            self.name,
            ["worker", worker.address, str(worker.name), differences + unseen, refused],
        )
        if not refused:
            importlib.import_module(PACKAGE).keep_memory()
            await worker.set_resources(**{self.name: 1})
            # jobs that waited for a worker are looked at again when the status of one changes
            worker.status = Status.paused
            worker.status = Status.running

    async def teardown(self, worker: Worker) -> None:
        """End the run: what still runs stops at its next tick."""
        await worker.set_resources(**{self.name: 0})
        try:
            package: Any = importlib.import_module(PACKAGE)
        except ImportError:
            return
        package.end(self.name)

    def _differences(self) -> list[str]:
        try:
            signature = importlib.import_module(f"{PACKAGE}.alike").signature
            found = signature(self._module)
        except ImportError as error:
            return [f"{error.name or error} is missing"]
        return [
            f"{what} is {found[what]}, not {value}"
            for what, value in self._expected.items()
            if found[what] != value
        ]

    def _unseen(self) -> list[str]:
        if self._seen is None:
            return []
        path, content = self._seen
        try:
            if Path(path).read_text() == content:
                return []
        except OSError:
            pass
        return [f"it does not see {Path(path).parent}"]
