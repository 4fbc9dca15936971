"""People with tokens of their own, and what they may do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jupyter_server.auth import Authorizer, IdentityProvider, User

PEOPLE = {
    "ada-token": User("ada", "Ada Author"),
    "bob-token": User("bob", "Bob Builder"),
    "rita-token": User("rita", "Rita Reader"),
    "nemo-token": User("nemo", "Nemo Nobody"),
    "mona-token": User("mona", "Mona Maler", avatar_url="data:image/png;base64," + "A" * 300_000),
}


class People(IdentityProvider):
    """Everybody has a token of one's own."""

    async def get_user_token(self, handler: Any) -> User | None:
        """Return whose token came along, else whom the server's own token stands for."""
        return PEOPLE.get(self.get_token(handler) or "") or await super().get_user_token(handler)

    def user_to_cookie(self, user: User) -> str:
        """Return a user as a cookie, which has no room for a picture."""
        return str(super().user_to_cookie(replace(user, avatar_url=None)))


class Rights(Authorizer):
    """Rita only reads contents; Nemo may do nothing at all. Everybody else may do everything."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Say whether `user` may do `action` with `resource`."""
        if user.username == "nemo":
            return False
        return user.username != "rita" or resource != "contents" or action == "read"


WITH_PEOPLE = {"identity_provider_class": People, "authorizer_class": Rights}
"""What configures a server for them, under ``ServerApp``."""
