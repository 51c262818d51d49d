"""Where the workers are: on this machine, at an address, or in a queue of jobs."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textmetric.errors import UserError, needing, shown

with needing("a cluster", "cluster"):
    import dask
    import distributed

QUEUES = {
    "slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster",
    "oar": "OARCluster", "moab": "MoabCluster", "htcondor": "HTCondorCluster",
}  # fmt: skip
"""Kinds of queue → their class in dask-jobqueue."""
_KILLS = 2
"""A job that kills more workers than this on this machine is given up."""
_SECONDS = 10
_SILENT = logging.CRITICAL + 1


@contextmanager
def connected(where: str) -> Iterator[distributed.Client]:
    """A client of a cluster; what was started for it ends with the block.

    Args:
        where: ``local:N`` for N workers on this machine; the address of a scheduler, such as
            ``tcp://host:8786``; its file, ``….json``; or ``slurm:N`` and the like for N jobs of
            dask-jobqueue, as its configuration says.

    Raises:
        UserError: it is none of these, or there is no scheduler.
    """
    logging.getLogger("distributed").setLevel(_SILENT)  # we say it ourselves
    kind, _, rest = where.partition(":")
    with contextlib.ExitStack() as stack:
        target: Any
        if is_local(where):
            target = stack.enter_context(_local(_count(where, rest)))
        elif kind in QUEUES:
            target = stack.enter_context(_queue(kind, _count(where, rest)))
        elif "://" in where:
            target = where
        elif where.endswith(".json"):
            if not Path(where).is_file():
                raise UserError(f"{where} is missing: start the scheduler that writes it")
            target = None
        else:
            raise UserError(
                f"the cluster is {shown(where)}, expected processes, local:4, tcp://host:8786, "
                f"the scheduler's file scheduler.json, or one of {', '.join(QUEUES)} with a number "
                "of jobs, such as slurm:8"
            )
        options: dict[str, Any] = {"scheduler_file": where} if target is None else {}
        try:
            client = distributed.Client(target, timeout=_SECONDS, set_as_default=False, **options)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no scheduler answers at {where} ({str(error).splitlines()[0]}): start one with "
                "dask scheduler, or correct the address"
            ) from None
        with _closing(client):
            yield client


def is_local(where: str) -> bool:
    """Whether a cluster is started for a run, on this machine."""
    return where.partition(":")[0] == "local"


@contextmanager
def _closing(client: distributed.Client) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.close(timeout=_SECONDS if client.status == "running" else 1)


@contextmanager
def _local(workers: int) -> Iterator[distributed.LocalCluster]:
    """Workers of one thread each, which see what this process sees."""
    settings = {
        "distributed.scheduler.allowed-failures": _KILLS,
        "distributed.worker.daemon": True,
        "distributed.admin.tick.limit": "1h",
        "distributed.worker.profile.enabled": False,
    }
    with dask.config.set(settings):
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            silence_logs=_SILENT,
        )
        with cluster:
            yield cluster


@contextmanager
def _queue(kind: str, jobs: int) -> Iterator[Any]:
    """A cluster of dask-jobqueue, by its configuration."""
    with needing(f"the cluster {kind}", "cluster"):
        import dask_jobqueue
    try:
        cluster = getattr(dask_jobqueue, QUEUES[kind])()
    except (ValueError, OSError) as error:
        raise UserError(
            f"dask-jobqueue cannot start {kind} ({str(error).splitlines()[0]}): complete jobqueue."
            f"{kind} in ~/.config/dask/jobqueue.yaml"
        ) from None
    with cluster:
        cluster.scale(jobs=jobs)
        yield cluster


def _count(where: str, number: str) -> int:
    if not number:
        return os.cpu_count() or 1
    if not number.isdecimal() or int(number) < 1:
        raise UserError(f"the cluster is {shown(where)}, expected a number from 1 after the colon")
    return int(number)
