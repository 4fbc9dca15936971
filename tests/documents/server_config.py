"""What every server of these tests is configured with: three people, and little patience."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer, IdentityProvider, User


class People(IdentityProvider):
    """Ada, Bob and Rita, each with her or his name for a token."""

    async def get_user_token(self, handler: Any) -> User | None:
        """Return the person whose name came along as the token."""
        name = self.get_token(handler)
        return User(name, name.capitalize()) if name in ("ada", "bob", "rita") else None


class RitaOnlyReads(Authorizer):
    """Everything is allowed, except that Rita writes files."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Tell whether `user` may do `action` with `resource`."""
        return not (user.username == "rita" and resource == "contents" and action != "read")


c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 (given by the configuration loader)
c.ServerApp.jpserver_extensions = {"jupyter_rtc": True, "jupyter_server_fileid": True}
c.ServerApp.identity_provider_class = People
c.ServerApp.authorizer_class = RitaOnlyReads
c.ServerApp.allow_root = True
c.ServerApp.open_browser = False
c.ServerApp.port_retries = 0
c.FileContentsManager.delete_to_trash = False
c.AsyncFileContentsManager.delete_to_trash = False
c.Documents.save_delay = 0.2
c.Documents.max_save_delay = 0.8
c.Documents.settle_delay = 0.1
