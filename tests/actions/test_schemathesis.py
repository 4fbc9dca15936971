"""Requests of all kinds, made by schemathesis from the OpenAPI document, against a real server.

Every answer must be one that the document describes, right down to its fields and headers; what the document forbids
must be refused; nobody gets through without a token; and nothing is a server error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from awaiting import PATIENCE
from documents.process import Jupyter

SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
"""Every run makes the same requests, unless others are asked for."""

CONFIG = """
c.ServerApp.jpserver_extensions = {"jupyter_rtc": True, "jupyter_server_fileid": True, "jupyter_server_terminals": True}
c.Questions.time_limit = 10.0
"""

# A kernel may be too slow for the `timeout` that a request gives it: that is no fault of the server's.
LATE = """
[[operations]]
include-path-regex = "/kernels/.id./(complete|inspect|is_complete|history|comm_info)"
checks = { not_a_server_error = { "expected-statuses" = ["2xx", "4xx", "504"] } }
"""

# Things that are there; chance does not find them.
THERE = """
parameters = {{ id = "{kernel}" }}

[[operations]]
include-operation-id = "kernels_interrupt"
parameters = {{ id = "{kernel}" }}

[[operations]]
include-operation-id = "contents_create"
parameters = {{ path = "work" }}

[[operations]]
include-operation-id = "tables_refresh"
parameters = {{ name = "kernels" }}
"""

LEFT_OUT = (
    # A body that is right in its form may name something that is not there.
    "positive_data_acceptance",
    # It wants 401; Jupyter Server says 403 to who is not known.
    "missing_required_header",
    # A session ends with its kernel, and a terminal with its shell.
    "ensure_resource_availability",
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Jupyter]:
    """Run a server; what is left of kernels and terminals ends with it."""
    server = Jupyter(tmp_path / "home", CONFIG)
    server.start()
    (server.root / "work").mkdir()
    yield server
    for what in ("kernels", "terminals"):
        for one in server.request("GET", f"api/{what}")[1]:
            server.request("DELETE", f"api/{what}/{one.get('id') or one['name']}")
    server.terminate()
    server.wait(PATIENCE)


def run(server: Jupyter, folder: Path, config: str, *options: str) -> None:
    """Run schemathesis; fails with its report."""
    (folder / "schemathesis.toml").write_text(config)
    command = [sys.executable, "-m", "schemathesis.cli", "run", server.url("api/rtc/spec")]
    command += ["--header=Authorization: token ada", f"--seed={SEED}", f"--exclude-checks={','.join(LEFT_OUT)}"]
    command += ["--generation-database=none", "--no-color", "--request-timeout=30", "--continue-on-failure"]
    command += ["--suppress-health-check=all", *options]  # which ask how fast this machine makes requests up
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, f"SCHEMATHESIS_SEED={SEED}\n{found.stdout}{found.stderr}"
    assert "No issues found" in found.stdout or "Missing test data" in found.stdout


@pytest.mark.timeout(360)
def test_every_request_gets_an_answer_that_is_documented(running: Jupyter, tmp_path: Path) -> None:
    _, kernel = running.request("POST", "api/rtc/kernels", {})
    there = LATE + THERE.format(kernel=kernel["id"])
    run(running, tmp_path, there, "--phases=coverage,fuzzing", "--max-examples=15")
    assert "Uncaught exception" not in running.log()


@pytest.mark.timeout(360)
def test_one_action_after_another(running: Jupyter, tmp_path: Path) -> None:
    """What an action makes is used by the next ones, along the links in the document."""
    run(running, tmp_path, LATE, "--phases=stateful", "--max-examples=12")
    assert "Uncaught exception" not in running.log()
