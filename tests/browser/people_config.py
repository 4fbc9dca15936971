"""A server for two people: Wanda may do everything, Rita may read but not write files."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer, IdentityProvider, User

PEOPLE = {"token-of-wanda": User("wanda", "Wanda Writer"), "token-of-rita": User("rita", "Rita Reader")}


class People(IdentityProvider):
    """Everybody has a token of one's own."""

    async def get_user_token(self, handler: Any) -> User | None:
        """Return the person whose token came along, else whom the server's own token stands for."""
        return PEOPLE.get(self.get_token(handler) or "") or await super().get_user_token(handler)


class ReadersMayNotWrite(Authorizer):
    """Everything is allowed, except that Rita writes files."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Tell whether `user` may do `action` with `resource`."""
        return not (user.username == "rita" and resource == "contents" and action != "read")


c = get_config()  # type: ignore[name-defined]  # noqa: F821 (given by the configuration loader)
c.ServerApp.identity_provider_class = People
c.ServerApp.authorizer_class = ReadersMayNotWrite
