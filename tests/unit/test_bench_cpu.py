"""What the benchmark reads of the CPU, and where it puts its processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cpu import Used, children, choose_cores, used

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_what_this_process_burns_is_what_is_read() -> None:
    before, own = used(os.getpid()), time.process_time_ns()
    while time.process_time_ns() - own < 60_000_000:
        pass
    burnt = time.process_time_ns() - own
    spent = used(os.getpid()) - before
    assert spent.scheduled_ns == pytest.approx(burnt, rel=0.3)
    assert abs(spent.ticked_ns - burnt) <= 3 * TICK_NS


def a_process(proc: Path, pid: int, *, name: str, parent: int, threads: dict[int, int]) -> None:
    folder = proc / str(pid)
    ticks = "0 0 0 0 0 0 0 0 0 30 12 0 0"
    (folder / "task").mkdir(parents=True)
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} {ticks} 20 0 1\n")
    for thread, scheduled in threads.items():
        (folder / "task" / str(thread)).mkdir()
        (folder / "task" / str(thread) / "schedstat").write_text(f"{scheduled} 5 7\n")


def test_all_threads_count_and_a_name_with_parentheses_is_no_field(tmp_path: Path) -> None:
    a_process(tmp_path, 7, name="a) b (c", parent=1, threads={7: 1000, 8: 234})
    assert used(7, proc=tmp_path) == Used(1234, 42 * TICK_NS)


def test_children_are_those_whose_parent_it_is(tmp_path: Path) -> None:
    a_process(tmp_path, 7, name="webhook", parent=1, threads={})
    a_process(tmp_path, 12, name="engine", parent=7, threads={})
    a_process(tmp_path, 9, name="engine", parent=7, threads={})
    (tmp_path / "13").mkdir()  # it ended while we looked
    assert children(7, proc=tmp_path) == (9, 12)


def test_a_real_child_is_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in children(os.getpid())


@pytest.mark.parametrize(
    ("available", "server", "generator", "cluster", "apart"),
    [
        pytest.param({0, 1}, {0}, {1}, {1}, True, id="two cores are shared out"),
        pytest.param({2, 5, 7, 9}, {2}, {9}, {5, 7}, True, id="only cores that are ours"),
        pytest.param({3}, {3}, {3}, {3}, False, id="one core is shared, and it is said"),
    ],
)
def test_server_and_generator_get_cores(
    available: set[int],
    server: set[int],
    generator: set[int],
    cluster: set[int],
    *,
    apart: bool,
) -> None:
    cores = choose_cores(available)
    assert [*map(set, (cores.server, cores.generator, cores.cluster))] == [
        server,
        generator,
        cluster,
    ]
    assert cores.are_apart is apart
    assert ("share the only core" in str(cores)) is not apart
