"""What actions need of the shared tables."""

from __future__ import annotations

from typing import Any, Protocol


class Mirror(Protocol):
    """The shared tables, which show what actions do."""

    async def refresh(self, name: str, **what: Any) -> None:
        """List a table again; return when it shows what there is. KeyError where there is no such table."""
        ...

    def hint(self, name: str) -> None:
        """Say that something may have changed in a table."""
        ...
