"""The server as an always-present author: what it is doing, in shared tables."""

from .listings import listings_of
from .mirror import Mirror
from .service import MissingError, Service, ServiceError
from .supernode import Parts, Supernode

__all__ = [
    "Mirror",
    "MissingError",
    "Parts",
    "Service",
    "ServiceError",
    "Supernode",
    "listings_of",
]
