"""A log that cannot be written to changes nothing for whoever logs."""

import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest

from controller.logs import Forgiving


class FullDisk(io.BytesIO):
    """Takes nothing while it is full."""

    is_full = True

    def write(self, line: object) -> int:
        """Refuse, or keep."""
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(line)  # type: ignore[arg-type]  # bytes, as loggers write them

    def flush(self) -> None:
        """Likewise."""
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.requirement("fail-closed.internal-fault")
def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    disk = FullDisk()
    log = Forgiving(disk)
    log.write(b"lost\n")
    log.flush()
    disk.is_full = False
    log.write(b"kept\n")
    log.flush()
    assert disk.getvalue() == b"kept\n"


@pytest.mark.requirement("fail-closed.internal-fault")
def test_a_process_whose_log_may_not_grow_goes_on() -> None:
    script = (
        "import structlog; from controller.logs import log_as_json; log_as_json();"
        "structlog.get_logger('x').error('full', at='/dev/full'); print('went on')"
    )
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, timeout=60,
            check=False,
        )  # fmt: skip
    assert ended.stdout == b"went on\n"
