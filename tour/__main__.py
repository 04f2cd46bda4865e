"""`python -m tour [--exit] [--swap N]`: what `make run` runs.

Without `--exit` it stays up afterwards, so that the reader can try; with it, it
ends, with status 0 only if every step went as expected.
"""

import argparse
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn

from tour.narrate import Result, first_denial, run_steps, swapped
from tour.scene import Scene, set_scene
from tour.steps import STEPS


def main() -> int:
    """Give the tour; returns the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    steps = [
        swapped(step) if number in arguments.swap else step
        for number, step in enumerate(STEPS, start=1)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="governor-tour-") as directory,
        set_scene(Path(directory), say=_say) as scene,
    ):
        results = run_steps(steps, scene, say=_say, clock=time.monotonic)
        _sum_up(results, started=started)
        if not arguments.exit:
            _stay(scene)
    return 1 if any(result.problems for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tour", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end after the last step")
    parser.add_argument(
        "--swap",
        type=int,
        action="append",
        default=[],
        choices=range(1, len(STEPS) + 1),
        metavar="N",
        help="swap step N's expectation: the tour must then fail; may be given several times",
    )
    return parser.parse_args()


def _sum_up(results: list[Result], *, started: float) -> None:
    passed = sum(not result.problems for result in results)
    _say(f"\n{passed} of {len(results)} steps went as expected")
    first = first_denial(results)
    if first is None:
        _say("no denial came from the API server")
        return
    _say(f"first denial from the API server after {first.ended_at - started:.1f} s")


def _stay(scene: Scene) -> None:
    _say("\nThe cluster stays up until you press ^C. Try it yourself:")
    for actor, path in (
        ("as the agent", scene.agent),
        ("as an administrator", scene.administrator),
    ):
        _say(f"  # {actor}\n  export KUBECONFIG={path}")
    _say("  .venv/bin/kubectl get mandates")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        _say("\nstopping")


def _interrupt(*_: object) -> NoReturn:
    """Be taken down like by ^C, with everything that was started."""
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
