"""What each user may take of what the server has, and all of them together.

A user is a username. Where the server's own token is all that people show, a browser is a user, by the cookie that it
was given, and so is each request of a program that keeps none: then it is what all may take together that holds.
"""

from __future__ import annotations

from traitlets import Integer
from traitlets.config import LoggingConfigurable


class Allowances(LoggingConfigurable):
    """What each user may take of the server, and all of them together."""

    max_awareness_rate = Integer(
        1 << 16,
        min=1,
        help="How many bytes a second of what one user shows of themselves (awareness) others are sent, on average."
        " Who shows more is shown less often, in the newest state; nobody is closed for it.",
    ).tag(config=True)
