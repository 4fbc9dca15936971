"""Who may act: authenticated, and allowed just what the action touches."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from jupyter_server.auth import Authorizer
from jupyter_server.utils import JupyterServerAuthWarning

from jupyter_rtc.supernode.actions import Action, Right

from .conftest import Client, refused
from .test_requests import ACTIONS, path_of

# The action and the resource of Jupyter's own handlers for the same.
AS_JUPYTER = {
    "terminals": Right("write", "terminals"),
    "kernels": Right("write", "kernels"),
    "questions": Right("execute", "kernels"),
    "sessions": Right("write", "sessions"),
    "contents": Right("write", "contents"),
    "spec": Right("read", "api"),
}


class Listed(Authorizer):
    """Allows what is listed.

    Attributes:
        allowed: pairs of an action and a resource; None for everything.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Allow everything."""
        super().__init__(**kwargs)
        self.allowed: set[tuple[str, str]] | None = None

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Say whether it is listed."""
        return self.allowed is None or (action, resource) in self.allowed


listed = pytest.mark.traits(ServerApp={"authorizer_class": Listed})


@listed
@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
async def test_each_action_needs_the_right_to_what_it_touches(client: Client, action: Action) -> None:
    right = AS_JUPYTER.get(action.name.partition("_")[0], Right("read", "kernels"))
    path = path_of(action)
    everything = {(verb, one) for verb in ("read", "write", "execute") for one in RESOURCES}
    client.app.authorizer.allowed = everything - {(right.action, right.resource)}
    reason = refused(await client.act(action.method, path, b"{"), 403)
    assert f"may not {right.action} {right.resource}" in reason
    client.app.authorizer.allowed = {(right.action, right.resource)}
    assert (await client.act(action.method, path, b"{")).status != 403


RESOURCES = ("api", "contents", "kernels", "kernelspecs", "sessions", "terminals", "status")


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}], ids=["nobody", "a wrong token"])
async def test_nobody_may_do_anything(client: Client, action: Action, headers: dict[str, str]) -> None:
    answer = await client.ask(action.method, f"api/rtc/{path_of(action)}", b"{", headers)
    assert answer.status == 403
    assert set(answer.body) >= {"message"}


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_with_a_cookie_the_xsrf_token_must_come_along(client: Client, method: str) -> None:
    path = {"POST": "kernels", "PATCH": "sessions/x", "DELETE": "kernels/x"}[method]
    given = await client.ask("GET", f"api/status?token={client.app.identity_provider.token}", headers={})
    cookie = "; ".join(line.partition(";")[0] for line in given.headers.get_list("Set-Cookie"))
    assert (await client.ask("GET", "api/rtc/spec", headers={"Cookie": cookie})).status == 200
    answer = await client.ask(method, f"api/rtc/{path}", b"", {"Cookie": cookie})
    assert "_xsrf" in refused(answer, 403)
    assert await client.jupyter("kernels") == []


def test_no_route_is_without_authentication(jp_configurable_serverapp: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", JupyterServerAuthWarning)
        server = jp_configurable_serverapp(allow_unauthenticated_access=False)
    assert server.web_app.settings["allow_unauthenticated_access"] is False


@listed
async def test_who_may_only_read_changes_nothing(client: Client, jp_root_dir: Any) -> None:
    (jp_root_dir / "a.txt").write_text("")
    client.app.authorizer.allowed = {("read", one) for one in RESOURCES}
    for method, path, body in [
        ("POST", "kernels", None),
        ("POST", "sessions", {"path": "a", "type": "notebook"}),
        ("DELETE", "contents/a.txt", None),
    ]:
        refused(await client.act(method, path, body), 403)
    assert await client.jupyter("kernels") == await client.jupyter("sessions") == []
    assert (jp_root_dir / "a.txt").exists()
