"""Runs git on one bare repository, cut off from the settings of whoever runs us.

Through GitPython, which starts the process and reads it; of its object model
nothing is used. It must not interpret what git says beyond naming the fault.
"""

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from git.cmd import Git

from controller.clients.git.errors import GitUnusableError, LedgerStorageError, fault_of
from controller.records.chain import WRITER_EMAIL, WRITER_NAME

OLDEST_GIT: Final = (2, 39)

_KEPT: Final = ("PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_TRACE")
"""What a push over SSH needs, and what an operator debugs with."""
_ENVIRONMENT: Final = {
    "LC_ALL": "C",
    "TZ": "UTC",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    # An auditor's repository may be anyone's: its settings start no program and fetch nothing.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    # Replacements and grafts show another history than the one that is stored.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_AUTHOR_NAME": WRITER_NAME,
    "GIT_AUTHOR_EMAIL": WRITER_EMAIL,
    "GIT_COMMITTER_NAME": WRITER_NAME,
    "GIT_COMMITTER_EMAIL": WRITER_EMAIL,
}
_OPTIONS: Final = (
    "core.fsync=all",
    "gc.auto=0",
    "maintenance.auto=false",
    "fastimport.unpackLimit=1",
    "fetch.unpackLimit=1",
    "core.quotePath=true",
    "trailer.separators=:",
    # In another encoding neither a message nor what is searched in it is what was written.
    "i18n.logOutputEncoding=UTF-8",
)


class GitProcess:
    """Git's command line on one bare repository."""

    def __init__(self, directory: Path, *, options: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            directory: the bare repository; it need not be there yet.
            options: further settings, `name=value`.
        """
        self.directory = directory.absolute()
        # The directory was named by whoever runs us, so whose it is does not matter.
        settings = (*_OPTIONS, f"safe.directory={self.directory}", *options)
        self._settings = [part for setting in settings for part in ("-c", setting)]
        self._git = Git()

    def require_usable(self) -> None:
        """Find git, and see that it is not too old.

        Raises:
            GitUnusableError: otherwise.
        """
        words = self.run("version", outside=True).decode(errors="replace").split()
        version = tuple(int(part) for part in words[2].split(".")[:2]) if len(words) > 2 else ()
        if version < OLDEST_GIT:
            oldest = ".".join(map(str, OLDEST_GIT))
            problem = f"git is {' '.join(words)!r}, older than {oldest}"
            raise GitUnusableError(f"{problem}; install a newer one")

    def run(
        self, command: str, *arguments: str, stdin: bytes | None = None, outside: bool = False
    ) -> bytes:
        """Run one command to its end; what it wrote to standard output.

        Args:
            command: the subcommand.
            arguments: its arguments.
            stdin: what it reads; nothing by default.
            outside: do not name the repository (`init`, `version`).

        Raises:
            LedgerError: it failed.
        """
        status, output, words = self.ask(command, *arguments, stdin=stdin, outside=outside)
        if status != 0:
            raise fault_of(command, status=status, words=words)
        return output

    def ask(
        self,
        command: str,
        *arguments: str,
        stdin: bytes | None = None,
        outside: bool = False,
        timeout: float | None = None,
    ) -> tuple[int, bytes, str]:
        """Run one command to its end: exit status, standard output, standard error.

        Args:
            command: the subcommand.
            arguments: its arguments.
            stdin: what it reads; nothing by default.
            outside: do not name the repository (`init`, `version`).
            timeout: seconds after which it is killed.

        Raises:
            LedgerError: it could not be started.
        """
        line = self._line(command, arguments, outside=outside)
        try:
            with _file_of(stdin) as source:
                status, output, words = self._git.execute(
                    line,
                    istream=source,
                    with_extended_output=True,
                    with_exceptions=False,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    kill_after_timeout=timeout,
                )
        except OSError as error:
            problem = f"git {command} could not be started: {error}"
            raise LedgerStorageError(f"{problem}; is there room for temporary files?") from error
        return status, output, words

    def _line(self, command: str, arguments: Sequence[str], *, outside: bool) -> list[str]:
        git = shutil.which("git")
        env = shutil.which("env")
        if git is None or env is None:
            raise GitUnusableError("there is no git on the PATH; install git 2.39 or newer")
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment = [f"{name}={value}" for name, value in {**kept, **_ENVIRONMENT}.items()]
        where = [] if outside else [f"--git-dir={self.directory}"]
        # GitPython can only add to the environment; `env -i` starts from an empty one.
        return [env, "-i", *environment, git, *self._settings, *where, command, *arguments]


@contextmanager
def _file_of(content: bytes | None) -> Generator[BinaryIO | None, None, None]:
    """A real file: a pipe would have to be filled while the answer is read."""
    if content is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield cast("BinaryIO", file)
