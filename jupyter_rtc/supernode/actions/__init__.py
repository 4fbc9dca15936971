"""Actions: what clients make the server do, over REST; the effects show in the shared tables.

Each is declared once, where it is carried out (`definition.action`). Nothing here knows of Tornado.
"""

from .contents import Contents
from .definition import Action, ActionError, Created, Right, action, declared
from .kernels import Kernels
from .questions import Questions
from .sessions import Sessions
from .shown import Shown
from .spec import ALWAYS, Spec
from .tables import Tables
from .terminals import Terminals
from .turns import Turns
from .validation import fields

OWNERS = (Tables, Terminals, Kernels, Questions, Sessions, Contents, Spec)

__all__ = [
    "ALWAYS",
    "OWNERS",
    "Action",
    "ActionError",
    "Contents",
    "Created",
    "Kernels",
    "Questions",
    "Right",
    "Sessions",
    "Shown",
    "Spec",
    "Tables",
    "Terminals",
    "Turns",
    "action",
    "declared",
    "fields",
]
