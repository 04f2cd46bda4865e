"""`governor check`: what the webhook would say about manifests, without a cluster.

Reads the manifests, the mandates and the policies from files, and has each write
reviewed by the webhook's own `Reviewer`. Ends with status 0 (nothing denied), 1
(something denied) or 2 (bad input, or no engine). It decides no verdict itself,
writes nothing and asks no cluster.
"""

import asyncio
import secrets
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from controller.accounts.limits import UNLIMITED
from controller.admission.case import RecordKeys, open_case
from controller.admission.judge import Granted, Postponed
from controller.admission.limits import limits_of
from controller.admission.reviewer import Reviewer
from controller.agents.registry import Registry
from controller.apis.requests import Operation
from controller.asks.asked import NOTHING_ASKED
from controller.cli.agents import UnknownAgentError, read_registry, user_of
from controller.cli.alone import hold_alone
from controller.cli.around import neighbours_of
from controller.cli.kinds import Kinds, builtin_kinds, kinds_of_crds, own_kinds
from controller.cli.manifests import STDIN, Manifest, ManifestError, ReadStdin, read_manifests
from controller.cli.offline import Asker, Write, index_olds
from controller.cli.verdicts import UNRECORDED, Judged, as_json, as_text, exit_status, printable
from controller.clients.engine.policyset import PolicySourceError
from controller.judging import build_reviewer, running_child
from controller.policy.engine import EngineError
from controller.settings import EngineSettings

DEFAULT_MANDATES = "manifests/mandates"
BAD_INPUT = 2
_MAX_PROBLEMS = 20
_KEY_BYTES = 32


class CheckError(Exception):
    """There is no verdict; a line for each reason, which names the place and the fix."""


class OperationName(StrEnum):
    """How the objects are written."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Output(StrEnum):
    """How verdicts are shown."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be checked, by the names given on the command line."""

    files: Sequence[str]
    agent: str | None = None
    """A mandate's name, or a username; None leaves it to AdmissionReviews."""
    mandates: Sequence[str] = ()
    """Empty: those in `manifests/mandates`."""
    operation: Operation | None = None
    """None: update where there are old versions, else create."""
    old: str | None = None
    namespace: str = "default"
    crds: Sequence[str] = ()


_Files = Annotated[
    list[str],
    typer.Option("--file", "-f", help="Manifest or AdmissionReview: a file, a directory, or -."),
]
_Agent = Annotated[
    str | None, typer.Option("--as", help="Who writes: a mandate's name, or a username.")
]
_Mandates = Annotated[
    list[str] | None,
    typer.Option(help="File or directory of mandates.", show_default=DEFAULT_MANDATES),
]
_Operation = Annotated[
    OperationName | None,
    typer.Option(help="How they are written.", show_default="update with --old, else create"),
]
_Old = Annotated[str | None, typer.Option(help="File of the stored versions, for an update.")]
_Namespace = Annotated[str, typer.Option(help="Of objects that name none.")]
_Policies = Annotated[
    Path | None, typer.Option(help="Directory of Rego policies.", show_default="policies")
]
_Crds = Annotated[
    list[str] | None,
    typer.Option(help="File or directory of the CustomResourceDefinitions of your kinds."),
]
_Output = Annotated[Output, typer.Option(help="How verdicts are shown.")]


def check(
    files: _Files,
    agent: _Agent = None,
    mandates: _Mandates = None,
    operation: _Operation = None,
    old: _Old = None,
    namespace: _Namespace = "default",
    policies: _Policies = None,
    crds: _Crds = None,
    output: _Output = Output.TEXT,
) -> None:
    """Say what would become of an agent's writes, without a cluster.

    Ends with 0 if nothing is denied, 1 if something is, 2 if there is no verdict.
    """
    inputs = Inputs(
        files=files,
        agent=agent,
        mandates=mandates or (),
        operation=Operation(operation.upper()) if operation else None,
        old=old,
        namespace=namespace,
        crds=crds or (),
    )
    try:
        judged = _judge_offline(inputs, policies)
    except CheckError as error:
        _say(printable(f"governor check: {error}"), is_error=True)
        raise typer.Exit(BAD_INPUT) from None
    _say(as_json(judged) if output is Output.JSON else as_text(judged))
    raise typer.Exit(exit_status(judged))


def _judge_offline(inputs: Inputs, policies: Path | None) -> list[Judged]:
    with _faults_as_check_errors():
        writes, registry = read_writes(inputs, read_stdin=_read_stdin)
        settings = EngineSettings() if policies is None else EngineSettings(policies=policies)
        return asyncio.run(_judge_with_own_engine(writes, registry, settings))


def read_writes(inputs: Inputs, *, read_stdin: ReadStdin) -> tuple[list[Write], Registry]:
    """Everything to be judged, and the mandates to judge it by.

    Raises:
        CheckError, ManifestError, UnknownAgentError: something given is of no use.
    """

    def read(*names: str) -> list[Manifest]:
        return read_manifests(names, read_stdin=read_stdin)

    operation = _operation(inputs)
    manifests = read(*inputs.files)
    if not manifests:
        raise CheckError("--file: there is no object in what is named; name files that hold some")
    registry = read_registry(read(*_mandates(inputs)))
    kinds = Kinds.of(builtin_kinds(), own_kinds(), kinds_of_crds(read(*inputs.crds)))
    olds = read(inputs.old) if inputs.old is not None else []
    asker = Asker(
        kinds,
        user=None if inputs.agent is None else user_of(inputs.agent, registry),
        operation=operation,
        namespace=inputs.namespace,
        olds=index_olds(olds, kinds=kinds, namespace=inputs.namespace),
    )
    writes = _ask_all(asker, manifests)
    neighbours = neighbours_of(writes, olds, kinds=kinds, namespace=inputs.namespace)
    return [neighbours.around(write) for write in writes], registry


def _operation(inputs: Inputs) -> Operation:
    operation = inputs.operation or (
        Operation.UPDATE if inputs.old is not None else Operation.CREATE
    )
    if operation is Operation.UPDATE and inputs.old is None:
        raise CheckError("--old is missing; an update is judged by what it changes")
    if operation is not Operation.UPDATE and inputs.old is not None:
        raise CheckError(f"--old is for updates, not for a {operation.lower()}; leave one out")
    return operation


def _mandates(inputs: Inputs) -> Sequence[str]:
    if inputs.mandates:
        return inputs.mandates
    if not Path(DEFAULT_MANDATES).is_dir():
        problem = f"--mandates is missing, and here is no directory {DEFAULT_MANDATES}"
        raise CheckError(f"{problem}; name files or directories of mandates")
    return [DEFAULT_MANDATES]


def _ask_all(asker: Asker, manifests: Sequence[Manifest]) -> list[Write]:
    """All of them, or what is wrong with each that is of no use."""
    writes: list[Write] = []
    problems: list[str] = []
    for manifest in manifests:
        try:
            writes.append(asker.ask(manifest))
        except ManifestError as error:
            problems.append(str(error))
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        shown = [*problems[:_MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        raise CheckError("\n".join(shown))
    return writes


async def _judge_with_own_engine(
    writes: Sequence[Write], registry: Registry, settings: EngineSettings
) -> list[Judged]:
    async with running_child(settings) as engine:
        reviewer = build_reviewer(engine, settings, mint_change=lambda: UNRECORDED)
        return await judge(writes, registry, reviewer)


async def judge(writes: Sequence[Write], registry: Registry, reviewer: Reviewer) -> list[Judged]:
    """Have each write reviewed, one after the other.

    Raises:
        CheckError: the engine is not there to judge one.
    """
    keys = RecordKeys(secrets.token_bytes(_KEY_BYTES), secrets.token_bytes(_KEY_BYTES))
    return [await _judge_one(write, registry, reviewer, keys) for write in writes]


async def _judge_one(
    write: Write, registry: Registry, reviewer: Reviewer, keys: RecordKeys
) -> Judged:
    """As the webhook does: policies see no confidential value, only whether two are equal."""
    # As a dry run, for nothing here was stamped; policies are told what was asked.
    unstamped = replace(write.request, dry_run=True)
    made_at = reviewer.clock_ns() // 1_000_000
    case = open_case(unstamped, registry, keys=keys, made_at=made_at, surroundings=write.around)
    if write.unknown:  # told as such, and neither refused nor held
        case = replace(case, asked=NOTHING_ASKED)
    request = replace(case.request, dry_run=write.request.dry_run)
    outcome = await reviewer.review(request, registry, asked=case.asked)
    limits = UNLIMITED
    if isinstance(outcome, Granted) and case.agent is not None:
        mandate = case.agent.mandate
        limits = limits_of(mandate, outcome.caps, registry.prices)
        outcome = hold_alone(case, outcome, mandate=mandate, limits=limits)
    if isinstance(outcome, Postponed):
        raise CheckError(f"{write.manifest.place}: was not judged: {outcome.reason}")
    is_limited = bool(limits.quota or limits.budgets)
    return Judged(write, outcome, asked=case.asked, is_limited=is_limited)


@contextmanager
def _faults_as_check_errors() -> Generator[None, None, None]:
    """Bad input and a missing engine end in a sentence, never in a traceback."""
    try:
        yield
    except (ManifestError, PolicySourceError) as error:
        raise CheckError(str(error)) from error
    except UnknownAgentError as error:
        raise CheckError(f"--as: {error}") from error
    except EngineError as error:
        raise CheckError(f"engine: {error}") from error
    except FileNotFoundError as error:  # the engine's binary
        raise CheckError(f"engine: {error}") from error
    except ValidationError as error:
        raise CheckError(_settings_problem(error)) from error


def _settings_problem(error: ValidationError) -> str:
    return "\n".join(
        f"GOVERNOR_{'_'.join(map(str, detail['loc'])).upper()}: {detail['msg']}"
        for detail in error.errors(include_url=False)
    )


def _read_stdin(size: int) -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise ManifestError(STDIN, "standard input is closed; name a file")
    return sys.stdin.buffer.read(size)


def _say(text: str, *, is_error: bool = False) -> None:
    """In whatever the terminal can show: a mark that it lacks becomes a question mark."""
    stream = sys.stderr if is_error else sys.stdout
    encoding = (stream.encoding if stream else None) or "utf-8"
    typer.echo(text.encode(encoding, "replace").decode(encoding), err=is_error)
