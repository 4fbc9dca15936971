"""A cell that one person runs prints on the other's screen too."""

from __future__ import annotations

from .awaiting import eventually, eventually_equal
from .conftest import Pair

WAITS_FOR_A_FILE = """\
import pathlib, time
print("begun", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.05)
print("ended")
pathlib.Path("go").unlink()"""


def test_output_shows_in_b_while_it_streams(pair: Pair) -> None:
    """B sees the first line while the cell still runs, then the rest, once; the file has it too."""
    pair.open_notebook("run.ipynb", WAITS_FOR_A_FILE)
    pair.a.run_cell(0)
    eventually_equal(lambda: pair.b.output(0).strip(), "begun")
    assert pair.a.prompt(0) == "[*]:"

    (pair.server.root / "go").touch()
    eventually_equal(lambda: pair.b.output(0).split(), ["begun", "ended"])
    eventually_equal(lambda: (pair.a.prompt(0), pair.b.prompt(0)), ("[1]:", "[1]:"))
    assert pair.a.output(0).split() == ["begun", "ended"]
    eventually_equal(lambda: printed(pair), "begun\nended\n")


def test_both_run_cells_of_one_kernel(pair: Pair) -> None:
    """B uses what A's cell defined: one notebook, one kernel."""
    pair.open_notebook("shared.ipynb", "x = 40", "print(x + 2)")
    pair.a.run_cell(0)
    eventually_equal(lambda: pair.b.prompt(0), "[1]:")
    pair.b.run_cell(1)
    eventually_equal(lambda: (pair.a.output(1).strip(), pair.b.output(1).strip()), ("42", "42"))


def printed(pair: Pair) -> str:
    """Return what the first cell of the notebook on disk has printed."""
    outputs = eventually(lambda: pair.server.notebook_cells("run.ipynb"), len, "a whole notebook")[0]["outputs"]
    return "".join("".join(output["text"]) for output in outputs)
