"""The server as an always-present author: what it is doing, in shared tables."""

from .listings import LocalListings, ManagedListings
from .mirror import Mirror
from .service import MissingError, Service, ServiceError
from .supernode import Parts, Supernode

__all__ = [
    "LocalListings",
    "ManagedListings",
    "Mirror",
    "MissingError",
    "Parts",
    "Service",
    "ServiceError",
    "Supernode",
]
