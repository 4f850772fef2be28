"""A pool over a Ray cluster: each job is a task of its own, wherever there is room. Nothing here imports torch.

Ray places tasks and tells when one is lost; which jobs there are, what they need and what becomes of a lost one is the
driver's business, as with every pool. Nodes that join are used, a node that is lost is survived: its jobs are begun
again from their checkpoints once their claims are over. All nodes have to see the workspace, and to have ticketctl.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ticketctl.errors import MissingExtraError, UnavailableError
from ticketctl.stages.code_snapshot import differences, snapshot
from ticketctl.stages.job_run import Outcome, Site, do
from ticketctl.stages.workers import THREADS

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Ray reports nothing to anybody, asks nothing, and warns of nothing that will change one day."""
LOCAL = "local"
"""An address: a cluster of this machine alone, that ends with the sweep."""


def need_ray() -> None:
    """Ray is an extra of its own.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("--engine ray needs ray: pip install 'ticketctl[ray]'")


class RayPool:
    """Slots of all nodes of a cluster: a CPU each, or a share of a GPU."""

    def __init__(
        self,
        site: Site,
        resolve: Callable[[str], Any],
        *,
        address: str = "auto",
        per_gpu: int = 1,
        cpus: int = 1,
        most: int | None = None,
    ) -> None:
        """Join the cluster.

        Args:
            site: `device` is `cpu`, or `cuda` for the GPUs of the cluster.
            resolve: finds the device of a name, on the node.
            address: of the cluster; `auto`: where `ray start` or RAY_ADDRESS says; `local` begins one here.
            per_gpu: jobs at a time on a GPU.
            cpus: that a job takes, which is its number of threads too.
            most: jobs at a time; None: as many as fit.

        Raises:
            MissingExtraError: Ray is not installed.
            UnavailableError: there is no cluster at this address.
        """
        need_ray()
        self.site, self.resolve = replace(site, parent=0), resolve
        self.per_gpu, self.cpus, self.most = per_gpu, cpus, most
        self.folder = os.getcwd()
        """Of the command: paths may be relative to it."""
        self.began = snapshot()
        self._busy: set[str] = set()
        with _own_signals():
            self._ray: Any = _quiet_ray()
            _join(self._ray, address)
        self._task = self._ray.remote(_work)

    @property
    def slots(self) -> int:
        """Jobs that the cluster has room for, as it is now; other work on it is not counted."""
        found = self._ray.cluster_resources()
        rooms = int(found.get("CPU", 0) // self.cpus)
        if self.site.device != "cpu":
            rooms = min(rooms, int(found.get("GPU", 0)) * self.per_gpu)
        return rooms if self.most is None else min(rooms, self.most)

    @property
    def free(self) -> int:
        """Slots without a job of ours."""
        return max(0, self.slots - len(self._busy))

    def begin(self, job: str) -> Future[Outcome]:
        """Wherever Ray finds room. A node or process that is lost makes the future raise; Ray itself tries once."""
        needs: dict[str, Any] = {"num_cpus": self.cpus}
        if self.site.device != "cpu":
            needs["num_gpus"] = 1 / self.per_gpu
        settled = {"env_vars": dict.fromkeys(THREADS, str(self.cpus))}
        task = self._task.options(**needs, max_retries=0, runtime_env=settled, name=job)
        self._busy.add(job)
        future: Future[Outcome] = task.remote(self.site, job, self.resolve, self.folder, self.began).future()
        return future

    def ended(self, job: str) -> None:
        """Its slot is free."""
        self._busy.discard(job)

    def close(self) -> None:
        """Leave the cluster; what this pool began is ended by it."""
        self._ray.shutdown()


def _work(
    site: Site, job: str, resolve: Callable[[str], Any], folder: str, began: Mapping[str, Any]
) -> Outcome:
    """On a node, whose code may be another than that of the command."""
    os.chdir(folder)
    return do(replace(site, notes=differences(began)), job, resolve)


def _quiet_ray() -> Any:
    """Ray, which says nothing on our streams but what went wrong."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    logging.getLogger("ray").setLevel(logging.ERROR)
    return import_module("ray")


def _join(ray: Any, address: str) -> None:
    where = None if address == LOCAL else address
    here = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(
            address="local" if where is None else where, log_to_driver=False, configure_logging=False,
            logging_level=logging.ERROR, **here,
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        said = " ".join(str(error).split())[:200]
        raise UnavailableError(
            f"--ray-address {address}: no Ray cluster there ({said}); `ray start --head` begins one, and "
            f"--ray-address {LOCAL} one of this machine alone"
        ) from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it is imported; the sweep has to hear it."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        with suppress(ValueError):  # outside the main thread there was nothing to take
            for one, handler in before.items():
                signal.signal(one, handler)
