"""Jobs on a Ray cluster: the address comes from RAY_ADDRESS; without one, a small cluster is started on this machine.

Ray places the jobs, restarts workers that die, and gives lost jobs out again; models travel as files, so the store must
be a folder that every node sees. The jobs are those of the local pool, so the bits are the same.
"""

import logging
import os
from contextlib import suppress
from typing import Any

from birthmark.errors import SettingError
from birthmark.zoo.executors import Job, Outcome, perform


class Ray:
    """Runs jobs on Ray core.

    Args:
        gpus: what a job takes that does not say so itself.
        retries: how often a job is given out again after its worker died.

    Raises:
        SettingError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, *, gpus: float = 0.0, retries: int = 3) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault(
            "RAY_worker_niceness", "0"
        )  # a cluster started here trains at the priority the local pool would
        try:
            import ray
        except ImportError:
            raise SettingError("the executor 'ray' needs Ray; install birthmark[ray]") from None
        self.ray: Any = ray
        self.gpus, self.retries = gpus, retries
        self.started = not ray.is_initialized()
        if self.started:
            address = os.environ.get("RAY_ADDRESS")
            local: dict[str, Any] = (
                {}
                if address
                else {"num_cpus": os.cpu_count(), "object_store_memory": 100 << 20, "include_dashboard": False}
            )
            chosen = {key: os.environ[key] for key in ("BIRTHMARK_DEVICE",) if key in os.environ}
            if chosen:
                local["runtime_env"] = {"env_vars": chosen}
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
            except Exception as error:
                raise SettingError(
                    f"no Ray cluster answers at {address or 'this machine'}: {str(error).splitlines()[0]}"
                ) from None
        self.resources = self.ray.cluster_resources()
        self.slots = max(1, int(self.resources.get("CPU", 1)))
        self.running: dict[Any, Job] = {}
        self.perform = ray.remote(perform)

    def submit(self, job: Job) -> None:
        """Raise SettingError at once if no node could ever run the job: Ray itself would wait for ever."""
        gpus = job.gpus or self.gpus
        for name, wanted in (("CPU", job.cpus), ("GPU", gpus)):
            most = max((node["Resources"].get(name, 0.0) for node in self.ray.nodes() if node["Alive"]), default=0.0)
            if wanted > most:
                raise SettingError(
                    f"{job.name} asks for {wanted:g} {name}, and the largest node of this Ray cluster has {most:g}; "
                    "ask for less, or add a node"
                )
        self.running[self.perform.options(num_cpus=job.cpus, num_gpus=gpus, max_retries=self.retries).remote(job)] = job

    def wait(self) -> Outcome:
        (done,), _ = self.ray.wait(list(self.running), num_returns=1)
        job = self.running.pop(done)
        try:
            outcome: Outcome = self.ray.get(done)
        except self.ray.exceptions.RayError as error:
            return Outcome(
                job.name,
                error=(
                    f"its worker died {self.retries + 1} times ({type(error).__name__}); if memory ran out, run fewer "
                    "at a time"
                ),
            )
        return outcome

    def close(self) -> None:
        for reference in self.running:
            with suppress(self.ray.exceptions.RayError):
                self.ray.cancel(reference, force=True)
        self.running.clear()
        if self.started and self.ray.is_initialized():
            self.ray.shutdown()
