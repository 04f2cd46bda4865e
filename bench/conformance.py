"""Runs OPA's conformance cases through the engine's client, and counts the answers.

Judges each case as OPA's own test runner does (`v1/topdown/exported_test.go`): the
bindings of the query are compared as sets, numbers by value, and an expected error
by its code; by its text where the case gives no code, because OPA rewords its
texts between releases. It must not adjust an expectation or an answer.
"""

import argparse
import asyncio
import functools
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias, cast

import orjson

from controller.clients.engine.child import Child, ChildLimits
from controller.clients.engine.policyset import Module, PolicySet, PolicySourceError, Unit
from controller.clients.engine.protocol import EXACT, TERM, UNDEFINED, split_answer
from controller.policy.engine import EngineError, EngineUnavailableError, PolicyRejectedError

DEFAULT_CASES = Path("../shared/corpora/opa-v1/cases.json")
TIMEOUT_SECONDS = 30.0

# What policies may not call by default; a case that calls one runs with all allowed.
DENIED_BUILTINS = (
    "bits.lsh",
    "crypto.x509.parse_and_verify_certificates",
    "crypto.x509.parse_and_verify_certificates_with_options",
    "graph.reachable_paths",
    "http.send",
    "io.jwt.encode_sign",
    "io.jwt.encode_sign_raw",
    "json.match_schema",
    "json.verify_schema",
    "net.lookup_ip_addr",
    "opa.runtime",
    "providers.aws.sign_req",
    "rand.intn",
    "rego.parse_module",
    "strings.render_template",
    "uuid.rfc4122",
)

Exact: TypeAlias = "bool | int | Decimal | str | list[Exact] | dict[str, Exact] | None"
Case: TypeAlias = "Mapping[str, Exact]"
Outcome: TypeAlias = Literal["passed", "refused", "wrong"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one case came out, and why when it did not pass."""

    note: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """What the engine made of a case: bindings, or an error's code and text."""

    bindings: tuple[dict[str, Exact], ...]
    code: str = ""
    text: str = ""

    @property
    def shown(self) -> str:
        """The answer, for a message."""
        return self.text or str(list(self.bindings))

    def is_same_answer(self, other: "Ran") -> bool:
        """Whether both gave the same bindings, or errors with the same code."""
        mine, theirs = (frozenset(map(identity, ran.bindings)) for ran in (self, other))
        return self.code == other.code and mine == theirs


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The cases twice: for judging, and with every number as it was written, for sending."""

    judged: tuple[Case, ...]
    sent: tuple[Mapping[str, object], ...]


def read_cases(path: Path) -> CaseFile:
    """Read a JSON list of cases, or an object with the list under `cases`."""
    text = path.read_text(encoding="utf-8")
    judged = _list_of(json.loads(text, parse_float=Decimal))
    verbatim = functools.partial(json.loads, parse_float=_verbatim, parse_int=_verbatim)
    return CaseFile(judged, _list_of(verbatim(text)))


def _verbatim(digits: str) -> orjson.Fragment:
    return orjson.Fragment(digits)


def _list_of(document: object) -> tuple[dict[str, Exact], ...]:
    listed = (
        cast("dict[str, object]", document)["cases"] if isinstance(document, dict) else document
    )
    return tuple(cast("list[dict[str, Exact]]", listed))


def policy_set_of(sent: Mapping[str, object], *, allow: Sequence[str]) -> PolicySet:
    """Make the policy set of a case: one unit, with the runner's names for its modules."""
    sources = cast("list[str]", sent.get("modules") or [])
    modules = tuple(Module(f"test-{i}.rego", source) for i, source in enumerate(sources))
    unit = Unit(
        name="case",
        query=cast("str", sent["query"]),
        modules=modules,
        data=orjson.dumps(sent.get("data") or {}),
        strict_builtin_errors=bool(sent.get("strict_error")),
    )
    return PolicySet((unit,), allow=tuple(allow))


def input_of(sent: Mapping[str, object]) -> tuple[bytes, int]:
    """Give the text of the input and the flags that say what it is."""
    if (term := sent.get("input_term")) is not None:
        return cast("str", term).encode(), TERM
    if (document := sent.get("input")) is not None:
        return orjson.dumps(document), 0
    return b"", UNDEFINED


def judge(case: Case, ran: Ran) -> str:
    """Say why the answer is not the expected one; empty when it is."""
    code, text = case.get("want_error_code"), case.get("want_error")
    if code is not None:
        return "" if ran.code == code else f"expected the error {code}, got {ran.shown}"
    if text is not None:
        return "" if str(text) in ran.text else f"expected the error {text!r}, got {ran.shown}"
    wanted = case.get("want_result")
    if wanted is None:
        return "the case expects nothing"
    expected = frozenset(map(identity, cast("list[Exact]", wanted)))
    got = frozenset(identity(_as_judged(binding, case)) for binding in ran.bindings)
    same = expected == got and not ran.text
    return "" if same else f"expected {wanted}, got {ran.shown}"


def is_reworded(case: Case, ran: Ran) -> bool:
    """Whether the error has the expected code, in words other than the case's."""
    code, text = case.get("want_error_code"), case.get("want_error")
    return code is not None and ran.code == code and str(text or "") not in ran.text


def _as_judged(binding: dict[str, Exact], case: Case) -> dict[str, Exact]:
    if not case.get("sort_bindings"):
        return binding
    return {name: sorted(cast("list[Exact]", value), key=order) for name, value in binding.items()}


def identity(value: Exact) -> tuple[object, ...]:
    """Give what two values share exactly when OPA holds them equal: 1 is 1.0, not true."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value), value)
    if isinstance(value, int | Decimal):
        return (Decimal, Decimal(value))
    if isinstance(value, list):
        return (list, tuple(map(identity, value)))
    return (dict, frozenset((name, identity(item)) for name, item in value.items()))


def order(value: Exact) -> tuple[object, ...]:
    """Give the key that sorts values as OPA does: null, booleans, numbers, strings, lists."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, int | Decimal):
        return (2, Decimal(value))
    if isinstance(value, str):
        return (3, value)
    if isinstance(value, list):
        return (4, tuple(map(order, value)))
    members = sorted(value.items())
    return (5, tuple(name for name, _ in members), tuple(order(item) for _, item in members))


async def ask_opa(binary: Path, sent: Mapping[str, object]) -> Ran:
    """Give the answer of OPA's own command line, without our client and server."""
    document, flags = input_of(sent)
    query = cast("str", sent["query"])
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["eval", "--format=json", "--data=data.json"]
        (Path(folder) / "data.json").write_bytes(orjson.dumps(sent.get("data") or {}))
        for i, source in enumerate(cast("list[str]", sent.get("modules") or [])):
            (Path(folder) / f"test-{i}.rego").write_text(source, encoding="utf-8")
            arguments.append(f"--data=test-{i}.rego")
        if sent.get("strict_error"):
            arguments.append("--strict-builtin-errors")
        if flags == TERM:
            query = f"{query} with input as {document.decode()}"
        elif flags != UNDEFINED:
            (Path(folder) / "input.json").write_bytes(document)
            arguments.append("--input=input.json")
        printed = await _output(binary, [*arguments, query], Path(folder))
    return _opa_answer(json.loads(printed, parse_float=Decimal))


async def _output(binary: Path, arguments: Sequence[str], folder: Path) -> bytes:
    process = await asyncio.create_subprocess_exec(
        binary, *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    return printed


def _opa_answer(printed: dict[str, Exact]) -> Ran:
    if errors := cast("list[dict[str, str]] | None", printed.get("errors")):
        return Ran((), errors[0].get("code", ""), errors[0]["message"])
    results = cast("list[dict[str, Exact]]", printed.get("result") or [])
    return Ran(tuple(cast("dict[str, Exact]", row.get("bindings") or {}) for row in results))


class Runner:
    """Runs cases one after another in one engine process, and replaces it when it dies."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._child: Child | None = None
        self.needed_denied = 0
        """Cases that only ran with builtins allowed that are denied by default."""
        self.reworded = 0
        """Cases whose expected error has other words by now."""

    async def start(self) -> None:
        """Start the engine, so that one that cannot run is not every case's fault."""
        await self._engine()

    async def verdict(self, case: Case, sent: Mapping[str, object]) -> Verdict:
        """Run one case and judge it."""
        note = str(case["note"])
        if sent.get("env") or sent.get("experimental_keywords"):
            return Verdict(note, "refused", "needs environment variables or experimental keywords")
        try:
            ran = await self._run(sent)
        except PolicyRejectedError as error:
            ran = Ran((), error.problems[0].code, str(error))
            return await self._second_opinion(note, ran, sent, f"refused at load: {error}")
        except (EngineError, PolicySourceError) as error:
            return Verdict(note, "refused", str(error))
        self.reworded += is_reworded(case, ran)
        why = judge(case, ran)
        if not why:
            return Verdict(note, "passed")
        return await self._second_opinion(note, ran, sent, why)

    async def _second_opinion(
        self, note: str, ran: Ran, sent: Mapping[str, object], why: str
    ) -> Verdict:
        """An unexpected answer is wrong, unless this release of OPA gives the same one."""
        opa = await ask_opa(self._binary, sent)
        if not ran.is_same_answer(opa):
            return Verdict(note, "wrong", f"{why}; OPA itself: {opa.shown}")
        return Verdict(note, "refused", f"so does this release of OPA itself: {why}")

    async def _run(self, sent: Mapping[str, object]) -> Ran:
        child = await self._engine()
        try:
            await child.load(policy_set_of(sent, allow=()), timeout_seconds=TIMEOUT_SECONDS)
        except PolicyRejectedError:
            allowed = policy_set_of(sent, allow=DENIED_BUILTINS)
            await child.load(allowed, timeout_seconds=TIMEOUT_SECONDS)
            self.needed_denied += 1
        document, flags = input_of(sent)
        reply = await child.connection.evaluate(
            document,
            now_ns=time.time_ns(),
            timeout_seconds=TIMEOUT_SECONDS,
            grace_seconds=1,
            flags=flags | EXACT,
        )
        _, body = split_answer(reply, child.sets)
        return _ran(json.loads(bytes(body), parse_float=Decimal))

    async def _engine(self) -> Child:
        if self._child is not None and self._child.connection.closed.done():
            await self.stop()
        if self._child is None:
            self._child = await Child.start(self._binary, ChildLimits())
        return self._child

    async def stop(self) -> None:
        """End the engine process."""
        if self._child is not None:
            await self._child.kill()
            self._child = None


def _ran(answers: list[dict[str, Exact]]) -> Ran:
    (answer,) = answers
    if error := cast("dict[str, str] | None", answer.get("error")):
        return Ran((), error["code"], error["text"])
    return Ran(tuple(cast("list[dict[str, Exact]]", answer["value"])))


@dataclass(frozen=True, slots=True)
class Report:
    """How all cases came out."""

    verdicts: tuple[Verdict, ...]
    needed_denied: int
    reworded: int

    @property
    def wrong(self) -> int:
        """How many cases were answered wrongly."""
        return sum(verdict.outcome == "wrong" for verdict in self.verdicts)

    def lines(self) -> list[str]:
        """What to print: whatever did not pass, and the figure last."""
        counts = Counter(verdict.outcome for verdict in self.verdicts)
        return [
            *(f"{v.outcome}: {v.note}: {v.why}" for v in self.verdicts if v.outcome != "passed"),
            f"{self.needed_denied} ran with a builtin allowed that is denied by default; "
            f"{self.reworded} expect an error, by its code, that OPA words differently by now",
            f"passed {counts['passed']}, refused {counts['refused']}, "
            f"wrong {counts['wrong']} of {len(self.verdicts)}",
        ]


async def run_all(binary: Path, cases: CaseFile) -> Report:
    """Run every case."""
    runner = Runner(binary)
    await runner.start()
    try:
        verdicts = [
            await runner.verdict(case, sent)
            for case, sent in zip(cases.judged, cases.sent, strict=True)
        ]
    finally:
        await runner.stop()
    return Report(tuple(verdicts), runner.needed_denied, runner.reworded)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.conformance",
        description=__doc__,
        epilog="passed: the expected answer. refused: the case cannot be met by this release of "
        "OPA: its own command line, run separately, gives the same other answer or refuses the "
        "modules too; or the case needs environment variables, experimental keywords, or more "
        "than our limits on size, time and memory. wrong: any other answer. A case that calls a "
        "builtin which is denied by default runs with it allowed. The exit status is 1 when "
        "anything is wrong.",
    )
    default = Path(os.environ.get("GOVERNOR_CONFORMANCE_CASES", DEFAULT_CASES))
    parser.add_argument("--cases", type=Path, default=default, help="a JSON file of cases")
    parser.add_argument(
        "--binary",
        type=Path,
        default=Path(sys.executable).parent / "governor-opa",
        help="the engine",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases of a file; print what did not pass, then the figure."""
    arguments = _arguments(argv)
    try:
        cases = read_cases(arguments.cases)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"--cases {arguments.cases} cannot be read as cases: {error!r}", file=sys.stderr)
        return 2
    try:
        report = asyncio.run(run_all(arguments.binary.absolute(), cases))
    except EngineUnavailableError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(report.lines()))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
