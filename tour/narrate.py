"""Runs the steps and tells the reader of each: what was asked, what came back, what is true now."""

import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from native.kubectl import Completed
from tour.scene import MANIFESTS, Scene
from tour.steps import NOTHING, Actor, Program, Step

SETTLE_SECONDS = 20.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """How one step went."""

    step: Step
    problems: tuple[str, ...]
    ended_at: float
    """By the clock that was passed in."""


def run_steps(
    steps: Iterable[Step],
    scene: Scene,
    *,
    say: Callable[[str], None],
    clock: Callable[[], float],
) -> list[Result]:
    """Run every step, also after one that did not go as expected."""
    results: list[Result] = []
    for number, step in enumerate(steps, start=1):
        say(f"\n{number}. {step.title}")
        answer = _act(step, scene, clock=clock)
        ended_at = clock()
        say(f"   {step.actor} $ {step.program} {shlex.join(_shown(step.command, scene))}")
        say(_indent(_or_nothing(answer.stdout + answer.stderr)))
        problems = [*_wrong_answer(step, answer), *_wrong_truth(step, scene, say=say)]
        for problem in problems:
            say(f"   NOT AS EXPECTED: {problem}")
        results.append(Result(step, tuple(problems), ended_at))
    return results


def _act(step: Step, scene: Scene, *, clock: Callable[[], float]) -> Completed:
    """Run a step's command; one that must settle is repeated until it has, within a bound."""
    deadline = clock() + (SETTLE_SECONDS if step.settles else 0.0)
    while True:
        answer = _run(step, scene)
        if not _wrong_answer(step, answer) or clock() >= deadline:
            return answer
        time.sleep(_POLL_SECONDS)


def _run(step: Step, scene: Scene) -> Completed:
    arguments = [_filled_in(part, scene) for part in step.command]
    if step.program is Program.GOVERNOR:
        return scene.governor(*arguments)
    if step.program is Program.GIT:
        return scene.git(*arguments)
    kubeconfig = scene.agent if step.actor is Actor.AGENT else scene.administrator
    return scene.kubectl(*arguments, kubeconfig=kubeconfig)


def _filled_in(part: str, scene: Scene) -> str:
    """A part of a command with what its placeholder stands for."""
    match part:
        case "{ledger}":
            return str(scene.ledger)
        case "{administrator}":
            return str(scene.administrator)
        case "{change}":
            return scene.change_of("configmap", "settings-web", namespace="team-data")
        case _:
            return part.replace("{manifests}", str(MANIFESTS))


def _wrong_answer(step: Step, answer: Completed) -> tuple[str, ...]:
    if step.denied is None and not answer.ok:
        return (f"status {answer.status} in place of 0",)
    if step.denied is None:
        said = _or_nothing(answer.stdout)
        return () if step.says in said else (f"it does not say {step.says!r}",)
    if answer.ok:
        return (f"it passed; [{step.denied}] should have refused it",)
    expected = f"governor: denied [{step.denied}]"
    return () if expected in answer.stderr else (f"the answer does not say {expected!r}",)


def _wrong_truth(step: Step, scene: Scene, *, say: Callable[[str], None]) -> tuple[str, ...]:
    if not step.proof:
        return ()
    reading = scene.kubectl(*step.proof, kubeconfig=scene.administrator)
    shown = _or_nothing(reading.stdout)
    say(f"   administrator $ kubectl {shlex.join(step.proof)}")
    say(_indent(shown + reading.stderr))
    if reading.ok and step.shows in shown:
        return ()
    return (f"the administrator reads something else than {step.shows!r}",)


def first_denial(results: Iterable[Result]) -> Result | None:
    """The first step that the API server refused as it should."""
    return next((one for one in results if one.step.denied and not one.problems), None)


def swapped(step: Step) -> Step:
    """The same step with the opposite expectation: a tour that cannot fail shows nothing.

    It is tried once: whoever waits for what must not come waits in vain.
    """
    return replace(step, denied=None if step.denied else "kind-not-granted", settles=False)


def _shown(command: tuple[str, ...], scene: Scene) -> list[str]:
    return [_filled_in(part.replace("{manifests}", "tour/manifests"), scene) for part in command]


def _or_nothing(text: str) -> str:
    return text.strip() or NOTHING


def _indent(text: str) -> str:
    return "\n".join(f"     {line}" for line in text.strip().splitlines())
