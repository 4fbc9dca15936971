"""Who is connected is asked about again: a token is revoked, a right is lost or given, the provider is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .peer import until
from .process import Jupyter

CHANGING = '''
import json
from pathlib import Path

RIGHTS = Path("rights.json").absolute()


class Hub(IdentityProvider):
    """Knows whom the file names. As JupyterHub's provider does, it keeps its answer with the handler it gave it to."""

    async def get_user(self, handler):
        if not hasattr(handler, "_hub_user"):
            handler._hub_user = await super().get_user(handler)  # which sets a cookie
        return handler._hub_user

    async def get_user_token(self, handler):
        name = self.get_token(handler)
        with RIGHTS.with_name("asked").open("a") as asked:
            asked.write(f"{name}\\n")
        if name in json.loads(RIGHTS.read_text()):
            return User(name, name.capitalize())
        return None

    def get_user_cookie(self, handler):
        return None


class AsTheFileSays(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "contents" or action in json.loads(RIGHTS.read_text())[user.username]


c.ServerApp.identity_provider_class = Hub
c.ServerApp.authorizer_class = AsTheFileSays
c.Relay.identity_check_interval = 0.2
'''

Rights = Callable[..., None]


@pytest.fixture
def rights(tmp_path: Path) -> Rights:
    """Return a function that says who is known, and may do what: ``rights(ada=["read"])``; a text is no JSON."""
    home = tmp_path / "server0"

    def change(text: str = "", **people: list[str]) -> None:
        new = home.with_suffix(".new")
        new.write_text(text or json.dumps({"ada": ["read", "write"], **people}))
        home.mkdir(exist_ok=True)
        new.replace(home / "rights.json")

    return change


@pytest.fixture
def server(start: Starter, rights: Rights) -> Jupyter:
    """Return a server on which Ada and Bob may do everything, until the test says otherwise."""
    rights(bob=["read", "write"])
    return start(CHANGING)


async def test_a_token_that_is_revoked(server: Jupyter, rights: Rights, join: Opener) -> None:
    """Its peer is closed, and stays out; who is still known notices nothing but that somebody left."""
    file = server.root / "a.txt"
    file.write_text("")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    bob.show(cursor=1)
    await until(lambda: len(ada.awareness.states) == 2)
    rights()
    await until(lambda: not bob.online)
    assert bob.closes == [(1008, "not allowed any more")]
    await until(lambda: len(ada.awareness.states) == 1)
    await until(lambda: server.log().count("403") >= 2)  # tries again, and is refused at the handshake
    bob.type("bob ")
    ada.type("ada ")
    assert await ada.save() == "success"
    assert file.read_text() == "ada "
    # Known again, Bob comes back by himself, with what he typed meanwhile.
    rights(bob=["read", "write"])
    await until(lambda: sorted(ada.text.split()) == ["ada", "bob"] and bob.text == ada.text)
    assert len(bob.closes) == 1
    assert ada.closes == []


async def test_reading_is_forbidden(server: Jupyter, rights: Rights, join: Opener) -> None:
    (server.root / "a.txt").write_text("")
    bob = await join(server, "a.txt", token="bob")
    rights(bob=[])
    await until(lambda: bob.closes)
    assert bob.closes == [(1008, "not allowed any more")]


async def test_writing_is_forbidden_and_allowed_again(server: Jupyter, rights: Rights, join: Opener) -> None:
    """The socket stays; the next edit is refused, and its author told; once allowed, what was refused is taken."""
    (server.root / "a.txt").write_text("")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")

    def may_write(expected: bool) -> bool:
        (room,) = server.rooms().values()
        return {member["username"]: member["writable"] for member in room["members"]}["bob"] is expected

    for number in range(2):
        rights(bob=["read"])
        await until(lambda: may_write(False))
        bob.type(f"bob{number} ")
        await until(lambda number=number: bob.told == [{"type": "conflict"}] * (number + 1))
        ada.type(f"ada{number} ")
        await until(lambda number=number: f"ada{number}" in bob.text)
        assert f"bob{number}" not in ada.text
        assert await bob.save() == "failed"
        rights(bob=["read", "write"])
        await until(lambda number=number: f"bob{number}" in ada.text)
        bob.type("! ")
        await until(lambda: ada.text == bob.text)
    assert sorted(ada.text.split()) == ["!", "!", "ada0", "ada1", "bob0", "bob1"]
    assert bob.closes == ada.closes == []


async def test_a_provider_that_cannot_answer(server: Jupyter, rights: Rights, join: Opener) -> None:
    """A hub that restarts closes nobody's documents; when it answers again, its answer counts."""
    (server.root / "a.txt").write_text("")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    rights("away")
    for name in ("ada", "bob"):
        await until(lambda name=name: f"cannot ask again what {name} may do" in server.log())
    bob.type("bob")
    await until(lambda: ada.text == "bob")
    rights()
    await until(lambda: bob.closes == [(1008, "not allowed any more")])
    assert ada.closes == []


async def test_asking_leaves_nothing_behind(server: Jupyter, join: Opener, tmp_path: Path) -> None:
    (server.root / "a.txt").write_text("")
    ada = await join(server, "a.txt")
    asked = tmp_path / "server0" / "asked"
    begun = asked.read_text().count("ada")
    await until(lambda: asked.read_text().count("ada") >= begun + 5)
    ada.type("ada")
    await until(lambda: (server.root / "a.txt").read_text() == "ada")
    assert ada.closes == []
    assert "cannot ask" not in server.log()
    assert "Traceback" not in server.log()
