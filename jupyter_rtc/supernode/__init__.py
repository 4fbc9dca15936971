"""The server as an always-present author: what it is doing, in shared tables."""

from .listings import listings_of
from .mirror import Mirror
from .patience import Patience
from .service import MissingError, Service, ServiceError
from .supernode import Parts, Supernode

__all__ = [
    "Mirror",
    "MissingError",
    "Parts",
    "Patience",
    "Service",
    "ServiceError",
    "Supernode",
    "listings_of",
]
