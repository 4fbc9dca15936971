"""How long the managers of the server are waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Patience:
    """How many seconds something may take that a manager of the server does, which may never come to an end.

    Whoever is given one asks it at each use: a change counts from the next time on.

    Attributes:
        look: the list of what a service has.
        action: an action, once it is its turn.
        turn: the actions before it on the same thing.
        abandoned: what is left of an action when its client has gone.
        record: the table's look at what an action has made.
    """

    look: float = 60.0
    action: float = 120.0
    turn: float = 60.0
    abandoned: float = 10.0
    record: float = 10.0
