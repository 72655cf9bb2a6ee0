"""A run that is short of memory goes on with fewer jobs at a time, and loses none."""

from birthmark.zoo.crew import Crew, Progress
from birthmark.zoo.executors import Job, Outcome, perform


class Tight:
    """Room for so many jobs at a time; of more, the last one given runs out of memory."""

    def __init__(self, slots: int, room: int) -> None:
        self.slots, self.room = slots, room
        self.running: list[Job] = []
        self.lost = 0

    def submit(self, job: Job) -> None:
        self.running.append(job)

    def wait(self) -> Outcome:
        if len(self.running) > self.room:
            self.lost += 1
            return Outcome(self.running.pop().name, error="CUDA out of memory", crowded=True)
        return Outcome(self.running.pop(0).name, {"event": "built"})

    def close(self) -> None:
        self.running.clear()


def jobs(n: int) -> list[Job]:
    return [Job(str(i), "os:getpid", {}) for i in range(n)]


def test_fewer_run_side_by_side_until_they_fit() -> None:
    tight, told = Tight(8, 3), list[Progress]()
    crew = Crew(tight, told.append)
    assert crew.run(jobs(10)) == {}
    assert (crew.made, crew.done) == (10, 10)
    assert tight.slots <= 3
    assert tight.lost > 0
    assert any(state.event == "memory ran out; 4 at a time from here on" for state in told)


def test_a_job_that_does_not_fit_alone_fails() -> None:
    tight = Tight(2, 0)
    assert set(Crew(tight).run(jobs(3))) == {"0", "1", "2"}
    assert tight.slots == 1


def test_a_job_says_when_memory_ran_out() -> None:
    found = [perform(Job("a", f"test_crew:{name}", {})) for name in ("hungry", "broken")]
    assert [one.crowded for one in found] == [True, False]
    assert [one.error for one in found] == ["OutOfMemoryError: CUDA out of memory", "RuntimeError: no"]


def hungry() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory")


def broken() -> None:
    raise RuntimeError("no")
