"""The server as an always-present author: what it is doing, in shared tables."""

from .mirror import Mirror
from .service import Service, ServiceError
from .supernode import Parts, Supernode

__all__ = ["Mirror", "Parts", "Service", "ServiceError", "Supernode"]
