"""Jobs in order, within the executor's slots, what happens when they fail, and when memory runs out."""

import pytest

from birthmark.errors import BirthmarkError
from birthmark.zoo.crew import Crew, Progress
from birthmark.zoo.executors import Job, Outcome, perform


class Fake:
    """Ends jobs last in, first out; fails those that are told to."""

    slots = 2

    def __init__(self, fails: dict[str, Outcome] = {}) -> None:
        self.fails, self.held, self.given, self.most, self.closed = fails, list[Job](), list[str](), 0, False

    def submit(self, job: Job) -> None:
        self.held.append(job)
        self.given.append(job.name)
        self.most = max(self.most, len(self.held))

    def wait(self) -> Outcome:
        name = self.held.pop().name
        return self.fails.get(name, Outcome(name, {"event": "built"}))

    def close(self) -> None:
        self.closed = True


def job(name: str, rank: int = 0) -> Job:
    return Job(name, "m:f", {}, rank=rank)


def test_lower_ranks_go_first_and_no_more_than_the_slots() -> None:
    executor, said = Fake(), list[Progress]()
    assert Crew(executor, said.append).run([job("c", 3), job("a", 1), job("b", 2)]) == {}
    assert executor.given == ["a", "b", "c"]
    assert executor.most == 2
    assert [(one.done, one.total, one.left) for one in said] == [(1, 3, 1), (2, 3, 0), (3, 3, 0)]


def test_what_an_outcome_makes_ready_is_run() -> None:
    executor = Fake()
    Crew(executor).run([job("a")], lambda outcome: [job("b")] if outcome.name == "a" else [])
    assert executor.given == ["a", "b"]


def test_a_failure_is_kept_and_the_others_go_on() -> None:
    crew = Crew(Fake({"a": Outcome("a", error="bad")}))
    assert crew.run([job("a"), job("b")]) == {"a": "bad"}
    assert (crew.done, crew.made) == (1, 1)


def test_an_error_that_all_would_meet_ends_the_run() -> None:
    executor = Fake({"a": Outcome("a", error="disk full", fatal=True)})
    with pytest.raises(BirthmarkError, match="a: disk full; the run stopped"):
        Crew(executor).run([job("a"), job("b"), job("c")])
    assert executor.closed


def test_time_left_is_by_the_pace_so_far() -> None:
    progress = Progress(total=10, done=6, made=4, running=("x",), failed=1, seconds=20.0)
    assert (progress.left, progress.per_minute, progress.eta) == (2, 12.0, 15.0)


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
    found = [perform(Job("a", f"{__name__}:{name}", {})) for name in ("hungry", "broken")]
    assert [one.crowded for one in found] == [True, False]
    assert [one.error for one in found] == ["OutOfMemoryError: CUDA out of memory", "RuntimeError: no"]


def hungry() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory")


def broken() -> None:
    raise RuntimeError("no")
