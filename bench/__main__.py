"""`python -m bench [--rounds N] [--seconds S]`: what `make bench` runs.

Measures what one review costs a running `governor webhook`: CPU of the webhook
and of its engine, latencies, and the parts, which must add up to the whole.
Exits with 1 when a verdict was wrong or the parts do not add up. The figure is
the last line.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cpu import Cores, choose_cores
from bench.load import Job, Load
from bench.load_process import Helper, HelperError, running
from bench.parts import PartsJob
from bench.webhook import Server, SetupError, Stage, set_stage
from bench.webhook_report import Measured, Report, part_costs
from bench.webhook_reviews import Case, cases
from native.controlplane import ControlPlaneError
from native.processes import ProcessError
from tour.governor import POLICIES

CONNECTIONS = (1, 8)


@dataclass(frozen=True, slots=True)
class Session:
    """Everything that runs while it is measured."""

    stage: Stage
    generator: Helper
    parts: Helper
    seconds: float

    def measure(self, case: Case, connections: int) -> Measured:
        """One round of one case: Governor, its peer and the parts, close together."""
        governor = self._load(case, self.stage.governor, connections, echoes=True)
        peer = self._load(case, self.stage.peer, connections, echoes=False)
        self.stage.copy.tell_tally()
        copy = self._load(case, self.stage.copy, connections, echoes=True)
        tally = self.stage.copy.tell_tally()
        asking = self.parts.do(PartsJob(case.head, case.tail, connections, self.seconds / 2))
        parts = part_costs(copy, tally, asking=float(asking))
        return Measured(case.name, connections, governor, peer, copy, parts)

    def _load(self, case: Case, server: Server, connections: int, *, echoes: bool) -> Load:
        job = Job(
            port=server.port,
            authority=str(server.authority),
            head=case.head,
            tail=case.tail,
            code=case.code if echoes else None,
            echoes=echoes,
            connections=connections,
            seconds=self.seconds,
            pids=server.pids,
        )
        return Load(**self.generator.do(job))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    arguments = _arguments(argv)
    cores = choose_cores(os.sched_getaffinity(0))
    try:
        measured = _measure(cores, rounds=arguments.rounds, seconds=arguments.seconds)
    except (ControlPlaneError, HelperError, ProcessError, SetupError) as error:
        print(error, file=sys.stderr)
        return 2
    report = Report(tuple(measured), cases())
    print("\n".join(report.lines()))
    return 1 if report.problems else 0


def _measure(cores: Cores, *, rounds: int, seconds: float) -> list[Measured]:
    print("booting a control plane and governor webhook", flush=True)
    with tempfile.TemporaryDirectory(prefix="governor-bench-") as name:
        directory = Path(name)
        with (
            set_stage(directory, cores=cores) as stage,
            running("bench.load", cores=cores.generator, log=directory / "load.log") as generator,
            running(
                "bench.parts",
                f"--policies={POLICIES}",
                cores=cores.server,
                log=directory / "parts.log",
            ) as parts,
        ):
            session = Session(stage, generator, parts, seconds)
            print(f"{cores}; {_load_average()}", flush=True)
            measured = [
                session.measure(case, connections)
                for _ in range(rounds)
                for connections in CONNECTIONS
                for case in cases()
            ]
            print(f"{rounds} rounds of {seconds} s each; {_load_average()}\n")
            return measured


def _load_average() -> str:
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=_count, default=5, metavar="N")
    parser.add_argument(
        "--seconds", type=_positive, default=1.0, metavar="S", help="of each measurement"
    )
    return parser.parse_args(argv)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
