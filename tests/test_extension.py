"""The extension in a server: found, configured, and beside others that serve the same documents."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jupyter_events import EventLogger
from jupyter_events.validators import ValidationError
from jupyter_server.config_manager import BaseJSONConfigManager
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPClientError
from traitlets.config import Config

from jupyter_rtc import __version__
from jupyter_rtc.app import OLD_OPTIONS

CONFIG = Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d" / "jupyter_rtc.json"
SCHEMAS = "https://schema.jupyter.org/jupyter_collaboration"
OTHER = """
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import authenticated

class Other(JupyterHandler):
    @authenticated
    def get(self):
        self.finish("{name} is here")

def _jupyter_server_extension_points():
    return [{{"module": "{name}"}}]

def _load_jupyter_server_extension(serverapp):
    serverapp.web_app.add_handlers(".*$", [(serverapp.base_url + "api/{name}", Other)])
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    """Return a function that installs a small server extension, by name and code."""
    folder = tmp_path / "packages"
    folder.mkdir()
    installed = []

    def write(name: str, code: str = OTHER) -> None:
        (folder / f"{name}.py").write_text(code.format(name=name))
        assert name not in sys.modules, "the real one is installed and loaded here"
        installed.append(name)

    sys.path.insert(0, str(folder))
    yield write
    sys.path.remove(str(folder))
    for name in installed:
        sys.modules.pop(name, None)


@pytest.fixture
def enable(jp_configurable_serverapp: Any, jp_server_config: Config) -> Callable[..., ServerApp]:
    """Return a function that starts a server with ours and the named extensions, without those `disabled`."""

    def start(*names: str, disabled: Sequence[str] = (), **traits: Any) -> ServerApp:
        enabled = {"jupyter_rtc": True, "jupyter_server_terminals": False, **dict.fromkeys(names, True)}
        enabled |= dict.fromkeys(disabled, False)
        jp_server_config.merge(Config({"ServerApp": {"jpserver_extensions": enabled}, **traits}))
        app: ServerApp = jp_configurable_serverapp()
        return app

    return start


def answers(app: ServerApp, path: str) -> bool:
    """Say whether a server has a route of its own for `path`."""
    return any(
        rule.matcher.regex.fullmatch(f"{app.base_url}{path}")
        for group in app.web_app.default_router.rules + app.web_app.wildcard_router.rules
        for rule in getattr(group.target, "rules", [group])
        if hasattr(rule.matcher, "regex") and rule.matcher.regex.pattern not in (".*$", ".*/$", "(.*)$")
    )


class TestInstalled:
    @pytest.mark.slow
    def test_jupyter_finds_it_and_calls_it_fine(self) -> None:
        listed = subprocess.run(
            [sys.executable, "-m", "jupyter", "server", "extension", "list"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = re.sub(r"\x1b\[\d+m", "", listed.stdout + listed.stderr).splitlines()
        assert listed.returncode == 0
        assert [line.split() for line in lines if line.strip().startswith("jupyter_rtc ")] == [
            ["jupyter_rtc", "enabled"],
            ["jupyter_rtc", __version__, "OK"],
        ]

    def test_its_configuration_is_installed(self) -> None:
        assert json.loads(CONFIG.read_text()) == {
            "ServerApp": {"jpserver_extensions": {"jupyter_rtc": True, "jupyter_server_ydoc": False}}
        }

    def test_its_configuration_wins_over_that_of_jupyter_collaboration(self, tmp_path: Path) -> None:
        folder = tmp_path / "jupyter_server_config.d"
        folder.mkdir()
        theirs = {"ServerApp": {"jpserver_extensions": {"jupyter_server_ydoc": True}}}
        (folder / "jupyter_collaboration.json").write_text(json.dumps(theirs))
        shutil.copy(CONFIG, folder)
        merged = BaseJSONConfigManager(config_dir=str(tmp_path), read_directory=True).get("jupyter_server_config")
        assert merged["ServerApp"]["jpserver_extensions"] == {"jupyter_rtc": True, "jupyter_server_ydoc": False}


class TestBesideOthers:
    def test_another_extension_is_left_alone(self, install: Install, enable: Any) -> None:
        install("harmless")
        app = enable("harmless")
        assert answers(app, "api/harmless")
        assert answers(app, "api/rtc/rooms")

    def test_it_takes_over_from_jupyter_server_ydoc_and_says_so(
        self, install: Install, enable: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install("jupyter_server_ydoc")
        app = enable("jupyter_server_ydoc")
        assert not answers(app, "api/jupyter_server_ydoc")
        assert answers(app, "api/rtc/rooms")
        assert app.web_app.settings["page_config_data"]["disableRTC"] is False
        said = capsys.readouterr().err
        assert said.count("jupyter_server_ydoc is enabled too") == 1
        assert "jupyter server extension disable jupyter_server_ydoc" in said

    def test_it_says_so_too_where_its_configuration_has_switched_the_other_off(
        self, install: Install, enable: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install("jupyter_server_ydoc")
        app = enable(disabled=["jupyter_server_ydoc"])
        assert not answers(app, "api/jupyter_server_ydoc")
        assert answers(app, "api/rtc/rooms")
        assert capsys.readouterr().err.count("jupyter_server_ydoc is installed too and stays switched off") == 1

    def test_it_does_not_speak_of_one_that_is_not_installed(
        self, enable: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        enable(disabled=["jupyter_server_ydoc"])
        assert "jupyter_server_ydoc is" not in capsys.readouterr().err

    async def test_a_server_that_it_took_over_stops_cleanly(
        self, install: Install, enable: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        install("jupyter_server_ydoc")
        app = enable("jupyter_server_ydoc")
        caplog.clear()
        await app.extension_manager.stop_all_extensions()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_it_refuses_to_run_beside_jupyter_server_documents(
        self, install: Install, enable: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install("jupyter_server_documents")
        app = enable("jupyter_server_documents")
        assert answers(app, "api/jupyter_server_documents")
        assert not answers(app, "api/rtc/rooms")
        assert not answers(app, "api/collaboration/room/x")
        said = capsys.readouterr().err
        assert "jupyter_server_documents serves the same documents" in said
        assert "`pip uninstall jupyter_server_documents` or `pip uninstall jupyter_rtc`" in said

    def test_the_front_ends_wait_for_nobody_then(self, install: Install, enable: Any) -> None:
        install("jupyter_server_documents")
        app = enable("jupyter_server_documents")
        assert app.web_app.settings["page_config_data"]["disableRTC"] is True

    async def test_a_server_in_which_it_refused_stops_cleanly(
        self, install: Install, enable: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        install("jupyter_server_documents")
        app = enable("jupyter_server_documents")
        caplog.clear()
        await app.extension_manager.stop_all_extensions()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_others_may_have_registered_the_same_events(self, install: Install, enable: Any) -> None:
        schema = json.dumps({"$id": f"{SCHEMAS}/session/v1", "version": "1", "type": "object", "properties": {}})
        install(
            "an_earlier_one",  # extensions are loaded in the order of their names
            f"SCHEMA = '''{schema.replace('{', '{{').replace('}', '}}')}'''\n"
            "def _jupyter_server_extension_points(): return [{{'module': '{name}'}}]\n"
            "def _load_jupyter_server_extension(app): app.event_logger.register_event_schema(SCHEMA)\n",
        )
        app = enable("an_earlier_one")
        assert answers(app, "api/rtc/rooms")
        assert f"{SCHEMAS}/awareness/v1" in app.event_logger.schemas


class TestOptions:
    @pytest.mark.parametrize(
        ("section", "option"),
        [("Documents", "save_delay"), ("Questions", "time_limit"), ("Keeper", "room_limit")],
    )
    async def test_a_wrong_value_leaves_jupyterlab_without_collaboration(
        self, enable: Any, capsys: pytest.CaptureFixture[str], section: str, option: str
    ) -> None:
        app = enable(**{section: {option: -1}})
        assert app.web_app.settings["page_config_data"]["disableRTC"] is True
        assert not answers(app, "api/rtc/rooms")
        told = [line for line in capsys.readouterr().err.splitlines() if "works without collaboration" in line]
        assert len(told) == 1
        assert f"'{option}' trait" in told[0]
        await app.extension_manager.start_all_extensions()
        await app.extension_manager.stop_all_extensions()

    def test_options_of_jupyter_server_ydoc_are_named_with_what_they_are_called_here(
        self, enable: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        enable(YDocExtension={"document_save_delay": 2.0, "server_side_execution": True})
        said = capsys.readouterr().err
        assert "YDocExtension.document_save_delay is an option of jupyter_server_ydoc, and is called" in said
        assert "is called Documents.save_delay now" in said
        assert "YDocExtension.server_side_execution is an option of jupyter_server_ydoc, and has no" in said

    def test_the_options_that_are_named_instead_exist(self, enable: Any) -> None:
        app = enable().extension_manager.extension_points["jupyter_rtc"].app
        known = {
            f"{kind.__name__}.{trait}" for kind in [type(app), *app.classes] for trait in kind.class_traits(config=True)
        }
        assert {name for options in OLD_OPTIONS.values() for name in options.values()} <= known


class TestPage:
    def test_what_the_front_ends_are_told(self, enable: Any) -> None:
        page = enable().web_app.settings["page_config_data"]
        assert page["disableRTC"] is False
        assert page["serverSideExecution"] is False

    def test_collaboration_can_be_switched_off(self, enable: Any) -> None:
        page = enable(JupyterRTC={"disable_rtc": True}).web_app.settings["page_config_data"]
        assert page["disableRTC"] is True

    def test_who_executes_is_left_to_whoever_said_so_before(self, install: Install, enable: Any) -> None:
        install(
            "an_earlier_one",
            "def _jupyter_server_extension_points(): return [{{'module': '{name}'}}]\n"
            "def _load_jupyter_server_extension(app):\n"
            "    app.web_app.settings.setdefault('page_config_data', {{}})['serverSideExecution'] = True\n",
        )
        assert enable("an_earlier_one").web_app.settings["page_config_data"]["serverSideExecution"] is True


class TestEvents:
    SESSION = {"level": "INFO", "room": "text:file:id", "path": "a.txt", "action": "load"}
    AWARENESS = {"roomid": "text:file:id", "username": "ada", "action": "join"}

    @pytest.fixture
    def logger(self, enable: Any) -> EventLogger:
        """Return the event logger of a server."""
        logger: EventLogger = enable().event_logger
        return logger

    async def test_what_the_front_ends_listen_for_is_emitted(self, logger: EventLogger) -> None:
        heard = []

        async def listen(logger: EventLogger, schema_id: str, data: dict[str, Any]) -> None:
            heard.append((schema_id, data))

        for name in ("session", "awareness"):
            logger.add_listener(schema_id=f"{SCHEMAS}/{name}/v1", listener=listen)
        logger.emit(schema_id=f"{SCHEMAS}/session/v1", data=self.SESSION)
        logger.emit(schema_id=f"{SCHEMAS}/awareness/v1", data=self.AWARENESS)
        await logger.gather_listeners()
        assert sorted(heard, key=str) == sorted(
            [(f"{SCHEMAS}/session/v1", self.SESSION), (f"{SCHEMAS}/awareness/v1", self.AWARENESS)], key=str
        )

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("session", {key: value for key, value in SESSION.items() if key != "path"}),
            ("session", {**SESSION, "path": None}),
            ("session", {**SESSION, "level": "LOUD"}),
            ("session", {**SESSION, "action": "explode"}),
            ("awareness", {**AWARENESS, "action": "dance"}),
            ("awareness", {key: value for key, value in AWARENESS.items() if key != "username"}),
        ],
    )
    def test_what_is_not_in_the_schema_is_not_emitted(self, logger: EventLogger, name: str, data: Any) -> None:
        listened: list[Any] = []
        logger.add_listener(schema_id=f"{SCHEMAS}/{name}/v1", listener=lambda **event: listened.append(event))
        with pytest.raises(ValidationError):
            logger.emit(schema_id=f"{SCHEMAS}/{name}/v1", data=data)


async def test_the_routes_are_under_the_base_url(server: Any, jp_fetch: Any, http_server_client: Any) -> None:
    answer = await jp_fetch("api", "rtc", "rooms")
    assert json.loads(answer.body) == {"rooms": [], "free": [], "store": {"trouble": None, "damage": None}}
    with pytest.raises(HTTPClientError) as missing:
        await http_server_client.fetch("/api/rtc/rooms", headers={"Authorization": f"token {server.token}"})
    assert missing.value.code == 404
