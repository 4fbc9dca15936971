"""Other extensions replace parts of Jupyter Server after ours was loaded: from then on the new ones are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from documents.conftest import Opener, join, prepare
from documents.peer import SessionRefused, until
from documents.process import Jupyter
from supernode.copying import Copies

__all__ = ["join", "prepare"]

# Like Jupytext's extension: it comes after ours in the alphabet, and puts its own in the place of what is there. When
# it is asked to, so that the old ones have been used by then; these raise from then on, whatever they are asked.
EXTENSION = '''
import asyncio
from pathlib import Path
from shutil import copytree

from jupyter_server.auth import Authorizer, IdentityProvider, User
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

KEPT = {}


def used_up(old, *names):
    def refuse(*args, **more):
        raise RuntimeError("this one was replaced")

    for name in names:
        setattr(old, name, refuse)


def contents(app, settings):
    old = app.contents_manager

    class Shouting(type(old)):
        """Shows what is in texts in capital letters; keeps its files somewhere else."""

        async def get(self, path, *args, **more):
            model = await super().get(path, *args, **more)
            if model["type"] == "file" and model["content"]:
                model["content"] = model["content"].upper()
            return model

    elsewhere = Path(old.root_dir).parent / "elsewhere"
    copytree(old.root_dir, elsewhere)
    used_up(old, "get", "save", "_get_os_path", "new_untitled", "exists", "dir_exists", "file_exists", "is_hidden")
    app.contents_manager = Shouting(parent=app, log=app.log, root_dir=str(elsewhere))
    app.session_manager.contents_manager = settings["contents_manager"] = app.contents_manager


def kernels(app, settings):
    old = app.kernel_manager
    new = type(old)(parent=app, log=app.log, kernel_spec_manager=app.kernel_spec_manager)
    used_up(old, "start_kernel", "get_kernel", "list_kernel_ids", "cwd_for_path", "restart_kernel", "shutdown_kernel")
    app.session_manager.kernel_manager = app.kernel_manager = settings["kernel_manager"] = new


def sessions(app, settings):
    old = app.session_manager
    new = type(old)(
        parent=app, log=app.log, kernel_manager=app.kernel_manager, contents_manager=app.contents_manager
    )
    used_up(old, "create_session", "list_sessions", "get_session", "session_exists", "save_session")
    app.session_manager = settings["session_manager"] = new


def kernelspecs(app, settings):
    old = app.kernel_spec_manager

    class Named(type(old)):
        def get_all_specs(self):
            return {"new": {**next(iter(super().get_all_specs().values()))}}

    new = Named(parent=app)
    used_up(old, "get_all_specs", "get_kernel_spec", "find_kernel_specs")
    app.kernel_spec_manager = settings["kernel_spec_manager"] = app.kernel_manager.kernel_spec_manager = new


def file_ids(app, settings):
    old = settings["file_id_manager"]

    class Own(type(old)):
        def index(self, path):
            found = super().index(path)
            KEPT.setdefault(path, found)
            return found

    new = Own(root_dir=old.root_dir, db_path=old.db_path, log=app.log)
    used_up(old, "index", "get_id", "get_path", "move")
    settings["file_id_manager"] = new


def terminals(app, settings):
    old = settings["terminal_manager"]
    new = type(old)(shell_command=["sh"], parent=old.parent)
    used_up(old, "create", "list", "terminate", "new_terminal")
    settings["terminal_manager"] = new


class Others(IdentityProvider):
    async def get_user_token(self, handler):
        return User("carla", "Carla") if self.get_token(handler) == "carla" else None


def identity(app, settings):
    used_up(app.identity_provider, "get_user", "identity_model")
    app.identity_provider = settings["identity_provider"] = Others(parent=app, log=app.log)


class Nobody(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read"


def authorizer(app, settings):
    used_up(app.authorizer, "is_authorized")
    app.authorizer = settings["authorizer"] = Nobody(parent=app, log=app.log)


class Replace(APIHandler):
    def initialize(self, app):
        self.app = app

    @authenticated
    async def post(self, what):
        globals()[what](self.app, self.app.web_app.settings)

    @authenticated
    async def get(self, what):
        self.finish(KEPT)


def _jupyter_server_extension_points():
    return [{"module": "zz_replacing"}]


def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*", [(r"/replace/(.+)", Replace, {"app": app})])
'''

CONFIG = """
c.ServerApp.jpserver_extensions.update(zz_replacing=True, jupyter_server_terminals=True)
c.Supernode.kernels_interval = c.Supernode.sessions_interval = c.Supernode.terminals_interval = 0.2
c.Supernode.kernelspecs_interval = c.Supernode.contents_interval = 0.2
c.Documents.poll_interval = 0.2
c.Relay.identity_check_interval = 0.2
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Jupyter]:
    """Return a server with an extension that replaces a part when it is told to."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "zz_replacing.py").write_text(EXTENSION)
    server = Jupyter(tmp_path / "home", CONFIG, packages)
    (server.root / "a.txt").write_text("one\n")
    (server.root / "b.txt").write_text("two\n")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def tables(server: Jupyter) -> Callable[..., Copies]:
    """Return a function that opens tables."""
    return lambda *names: Copies(server.url("api/rtc/room", "ws"), "ada", *names)


async def replace(server: Jupyter, what: str) -> None:
    """Let the extension replace a part of the server."""
    status, answer = await server.ask("POST", f"replace/{what}")
    assert status == 200, answer


async def done(server: Jupyter, method: str, path: str, body: Any = None) -> Any:
    """Carry something out over REST, and return what came of it."""
    status, answer = await server.ask(method, path, body)
    assert status in (200, 201, 204), (path, status, answer)
    return answer


async def test_the_contents_manager(server: Jupyter, tables: Callable[..., Copies], join: Opener) -> None:
    """Also for documents that are open; one that reads in its own way is used in its own way."""
    elsewhere = server.root.parent / "elsewhere"
    async with tables("contents", "folders") as copies:
        await done(server, "POST", "api/rtc/tables/contents/refresh", {"path": ""})
        ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
        ada.type("three\n")
        assert await ada.save() == "success"
        await replace(server, "contents")
        bob.type("four\n")
        assert await bob.save() == "success"
        assert (elsewhere / "a.txt").read_text().lower() == "one\nthree\nfour\n"
        assert (server.root / "a.txt").read_text() == "one\nthree\n"
        with (elsewhere / "a.txt").open("a") as file:
            file.write("outside\n")
        await until(lambda: "outside" in ada.text.lower() and ada.text == bob.text, lambda: ada.text)
        assert ada.text.lower() == "one\nthree\nfour\noutside\n"
        assert (await join(server, "b.txt")).text == "TWO\n"
        made = await done(server, "POST", "api/rtc/contents/", {"type": "file"})
        assert (elsewhere / made["path"]).exists()
        (elsewhere / "c.txt").write_text("by somebody else")
        await copies.until(lambda: "c.txt" in {one["path"] for one in copies.records["contents"].values()})


async def test_the_kernel_manager(server: Jupyter, tables: Callable[..., Copies]) -> None:
    """What the old one has is no concern of ours any more; hooks go over to the new one."""
    async with tables("kernels", "status") as copies:
        await copies.until(lambda: copies.records["status"]["status"]["kernels"] == 0)
        await replace(server, "kernels")
        ours = await done(server, "POST", "api/rtc/kernels", {})
        await copies.until(lambda: copies.records["kernels"].keys() == {ours["id"]})
        theirs = await done(server, "POST", "api/kernels", {})
        await copies.until(lambda: copies.records["kernels"].keys() == {ours["id"], theirs["id"]})
        await done(server, "POST", f"api/rtc/kernels/{theirs['id']}/is_complete", {"code": "1"})
        await done(server, "DELETE", f"api/rtc/kernels/{ours['id']}")
        await done(server, "POST", "api/rtc/terminals", {})  # it knows where the folders are
        await copies.until(lambda: copies.records["kernels"].keys() == {theirs["id"]})


async def test_the_session_manager(server: Jupyter, tables: Callable[..., Copies]) -> None:
    async with tables("sessions") as copies:
        await replace(server, "sessions")
        ours = await done(server, "POST", "api/rtc/sessions", {"path": "a.ipynb", "type": "notebook"})
        await copies.until(lambda: ours["id"] in copies.records["sessions"])
        body = {"path": "b.ipynb", "type": "notebook", "name": "b", "kernel": {"name": "python3"}}
        theirs = await done(server, "POST", "api/sessions", body)
        await copies.until(lambda: copies.records["sessions"].keys() == {ours["id"], theirs["id"]})
        for session in (ours, theirs):
            await done(server, "DELETE", f"api/rtc/sessions/{session['id']}")


async def test_the_kernelspec_manager(server: Jupyter, tables: Callable[..., Copies]) -> None:
    async with tables("kernelspecs") as copies:
        await copies.until(lambda: "python3" in copies.records["kernelspecs"])
        await replace(server, "kernelspecs")
        await copies.until(lambda: copies.records["kernelspecs"].keys() == {"new"})
        kernel = await done(server, "POST", "api/rtc/kernels", {"name": "python3"})
        await done(server, "DELETE", f"api/rtc/kernels/{kernel['id']}")


async def test_the_manager_of_file_ids(server: Jupyter, join: Opener) -> None:
    open_before = await join(server, "a.txt")
    await replace(server, "file_ids")
    opened = await join(server, "b.txt")
    assert (await done(server, "GET", "replace/file_ids"))["b.txt"] == opened.room.split(":")[2]
    (server.root / "a.txt").write_text("one\noutside\n")
    await until(lambda: open_before.text == "one\noutside\n")


async def test_the_terminal_manager(server: Jupyter, tables: Callable[..., Copies]) -> None:
    async with tables("terminals") as copies:
        await replace(server, "terminals")
        ours = await done(server, "POST", "api/rtc/terminals", {})
        theirs = await done(server, "POST", "api/terminals")
        await copies.until(lambda: copies.records["terminals"].keys() == {ours["name"], theirs["name"]})
        await done(server, "DELETE", f"api/rtc/terminals/{theirs['name']}")
        await copies.until(lambda: copies.records["terminals"].keys() == {ours["name"]})


async def test_the_identity_provider(server: Jupyter, join: Opener) -> None:
    """Whoever is connected, and is nobody to the new one, is told to leave."""
    ada = await join(server, "a.txt")
    await replace(server, "identity")
    carla = await join(server, "a.txt", token="carla")
    await until(lambda: ada.closes, lambda: ada.closes)
    with pytest.raises(SessionRefused):
        await join(server, "a.txt")
    carla.type("carla's\n")
    assert await carla.save() == "success"
    assert (server.root / "a.txt").read_text() == "one\ncarla's\n"


async def test_the_authorizer(server: Jupyter, join: Opener) -> None:
    """Also for whoever is connected already."""
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    await replace(server, "authorizer")
    assert (await server.ask("POST", "api/rtc/kernels", {}))[0] == 403

    def refused() -> bool:
        ada.type("x")
        return {"type": "conflict"} in ada.told

    await until(refused, lambda: ada.told)
    told = bob.text
    ada.type("typed without the right to")
    assert await ada.save() == "failed"
    assert bob.text == told
