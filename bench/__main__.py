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
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cpu import Cores, choose_cores
from bench.load import Job, Load
from bench.load_process import Helper, HelperError, running
from bench.parts import Depth, PartsJob
from bench.webhook import Server, SetupError, Stage, set_stage
from bench.webhook_report import Copied, Measured, Report, part_costs
from bench.webhook_reviews import Case, cases
from bench.webhook_settler import Done
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
    settler: Helper
    seconds: float

    def measure(self, case: Case, connections: int) -> Measured:
        """One round of one case: Governor, its peer and the parts, close together."""
        stage = self.stage
        self.settler.do({})
        pids = (*stage.governor.pids, *stage.cluster)
        governor = self._load(case, stage.governor, connections, pids=pids)
        settled = Done(**self.settler.do({}))
        peer = self._load(case, stage.peer, connections, pids=stage.peer.pids, echoes=False)
        copies = {depth: self._copy(case, connections, depth) for depth in _depths(case)}
        asking = self._asking(case, connections) if case.is_judged else 0.0
        return Measured(
            case=case.name,
            connections=connections,
            governor=governor,
            pending=settled.pending / max(1, settled.looks),
            peer=peer,
            copies=tuple(copies.values()),
            parts=part_costs(copies, asking=asking),
        )

    def _copy(self, case: Case, connections: int, depth: Depth) -> Copied:
        copy = self.stage.copy
        copy.begin(depth)
        load = self._load(case, copy, connections, pids=copy.pids)
        return Copied(load, copy.tell_tally())

    def _asking(self, case: Case, connections: int) -> float:
        site = self.stage.governor.site
        job = PartsJob(
            certificates=str(site.certificates),
            pieces=case.template.pieces,
            connections=connections,
            seconds=self.seconds / 2,
        )
        return float(self.parts.do(job))

    def _load(
        self,
        case: Case,
        server: Server,
        connections: int,
        *,
        pids: tuple[int, ...],
        echoes: bool = True,
    ) -> Load:
        job = Job(
            port=server.port,
            certificates=str(server.site.certificates),
            path=case.path,
            pieces=case.template.pieces,
            code=case.code,
            echoes=echoes,
            connections=connections,
            seconds=self.seconds,
            pids=pids,
        )
        return Load(**self.generator.do(job))


def _depths(case: Case) -> tuple[Depth, ...]:
    return tuple(Depth) if case.is_reserved else (Depth.JUDGED, Depth.RECORDED)


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
    with (
        tempfile.TemporaryDirectory(prefix="governor-bench-") as name,
        _session(Path(name), cores=cores, seconds=seconds) as session,
    ):
        print(f"{cores}; {_load_average()}", flush=True)
        measured = [
            session.measure(case, connections)
            for _ in range(rounds)
            for connections in CONNECTIONS
            for case in cases()
        ]
        print(f"{rounds} rounds of {seconds} s each; {_load_average()}\n")
        return measured


@contextmanager
def _session(directory: Path, *, cores: Cores, seconds: float) -> Generator[Session, None, None]:
    with ExitStack() as stack:
        stage = stack.enter_context(set_stage(directory, cores=cores))
        site = stage.governor.site

        def start(module: str, *arguments: str, cores: frozenset[int]) -> Helper:
            log = directory / f"{module}.log"
            return stack.enter_context(running(module, *arguments, cores=cores, log=log))

        outboxes = [f"--outbox={path}" for path in stage.outboxes]
        settler = ("bench.webhook_settler", f"--kubeconfig={site.kubeconfig}", *outboxes)
        certificates = f"--certificates={site.certificates}"
        parts = ("bench.parts", f"--policies={POLICIES}", certificates)
        yield Session(
            stage=stage,
            generator=start("bench.load", cores=cores.generator),
            parts=start(*parts, cores=cores.server),
            settler=start(*settler, cores=cores.cluster),
            seconds=seconds,
        )


def _load_average() -> str:
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=_count, default=7, metavar="N")
    parser.add_argument(
        "--seconds", type=_positive, default=0.6, metavar="S", help="of each measurement"
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
