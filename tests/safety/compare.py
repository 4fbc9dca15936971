"""Lets the accidents happen to a server, this one or another, and prints what became of the words that were typed.

    python -m venv /tmp/other
    /tmp/other/bin/pip install jupyter-server-ydoc==3.0.4 jupyterlab ipykernel
    cd tests && python -m safety.compare --python /tmp/other/bin/python

The other server runs in its own environment, and the clients in this one. A cell of the table is ``lost/doubled``,
``ok`` if there is neither and everybody has the same; ``*`` stands for anything else that is not as it should be: see
the list below the table.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import tempfile
from pathlib import Path

from .accidents import ACCIDENTS, Accident
from .kinds import KINDS
from .tokens import Verdict
from .world import OURS, Contestant, World

YDOC = """
c.ServerApp.jpserver_extensions = {"jupyter_server_ydoc": True, "jupyter_server_fileid": True}
c.YDocExtension.document_save_delay = 0.2
c.YDocExtension.file_poll_interval = 0.2
"""


def jupyter_server_ydoc(python: str) -> Contestant:
    """Return jupyter-server-ydoc, with delays as short as those of the tests."""
    quickly = "c.YDocExtension.document_cleanup_delay = 0.3"
    return Contestant("jupyter-server-ydoc", python, YDOC, quickly, ".jupyter_ystore.db*")


async def suffer(contestant: Contestant, accident: Accident, seed: str, patience: float) -> dict[str, Verdict] | str:
    """Let one accident happen; return what became of the words, or why it never came to that."""
    with tempfile.TemporaryDirectory(prefix="safety-") as folder:
        world = World(contestant, Path(folder) / "home", f"{seed} {accident.__name__}", patience)
        try:
            async with asyncio.timeout(180):
                await accident(world)
                return await world.verdicts()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            await world.end()


def cell(verdict: Verdict) -> str:
    """Return what stands in the table."""
    if verdict.clean:
        return "ok"
    return f"{len(verdict.lost)}/{len(verdict.doubled)}{'*' if verdict.differing else ''}"


def main() -> None:
    """Print a table in Markdown, and under it what a table cannot hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="the interpreter of an environment with jupyter-server-ydoc; else it is ours")
    parser.add_argument("--seed", default=str(random.randrange(10**9)), help="of another run, to be replayed")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds to wait until all is well")
    parser.add_argument("names", nargs="*", help="of accidents; all, if none is given")
    options = parser.parse_args()
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # sockets break all the time here
    contestant = jupyter_server_ydoc(options.python) if options.python else OURS
    print(f"{contestant.name}, seed {options.seed}\n")
    print(f"| accident | {' | '.join(kind.name for kind in KINDS)} |\n|---|{'--:|' * len(KINDS)}")
    notes = []
    for accident in ACCIDENTS:
        name = accident.__name__
        if options.names and name not in options.names:
            continue
        found = asyncio.run(suffer(contestant, accident, options.seed, options.patience))
        cells = [found and "failed"] * len(KINDS) if isinstance(found, str) else [cell(found[k.name]) for k in KINDS]
        print(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |", flush=True)
        if isinstance(found, str):
            notes.append(f"{name}: {found}")
        else:
            notes += [f"{name}, {kind}: {'; '.join(one.differing)}" for kind, one in found.items() if one.differing]
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()
