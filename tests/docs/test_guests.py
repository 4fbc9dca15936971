"""The example of "Work together": a guest sees everything, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from awaiting import until
from jupyter_ydoc import YUnicode
from pycrdt import Provider
from tornado.httpclient import HTTPClientError
from traitlets.config import Config

from .pages import DOCS, blocks

ADA, GUEST = "token-of-ada", "token-of-guest"


@pytest.fixture
def jp_server_config(jp_server_config: Config) -> Config:
    """Configure the server as the page says."""
    (code,) = (block.code for block in blocks(DOCS / "how-to" / "work-together.md") if block.mark == "config")
    exec(code, {"c": jp_server_config, "__name__": "jupyter_server_config"})
    jp_server_config.ServerApp.jpserver_extensions["jupyter_server_terminals"] = True
    return jp_server_config


class Channel:
    """A WebSocket, as pycrdt.Provider wants it; keeps the server's RAW messages."""

    path = ""

    def __init__(self, socket: Any) -> None:
        """Wrap an open WebSocket."""
        self.send = socket.send
        self.socket = socket
        self.told: list[bytes] = []

    async def __aiter__(self) -> Any:
        """Yield what comes."""
        async for message in self.socket:
            if message[0] == 2:
                self.told.append(message)
            yield message


async def test_a_guest_watches_and_changes_nothing(server, jp_fetch, jp_root_dir: Path) -> None:
    """The guest sees Ada's words; the guest's own reach neither Ada nor the file, and the guest is told."""
    file = jp_root_dir / "shared.txt"
    file.write_text("begun\n")
    body = json.dumps({"format": "text", "type": "file"})
    headers = {"Authorization": f"token {GUEST}"}
    answer = await jp_fetch("api/collaboration/session/shared.txt", method="PUT", body=body, headers=headers)
    room = f"text:file:{json.loads(answer.body)['fileId']}"
    ada, guest = YUnicode(), YUnicode()
    async with server.connect(room, token=ADA) as one, server.connect(room, token=GUEST) as two:
        channel = Channel(two)
        async with Provider(ada.ydoc, Channel(one)) as first, Provider(guest.ydoc, channel) as second:
            await first.synced.wait()
            await second.synced.wait()
            guest.source += "by the guest, too long a line to be taken for anything but an edit of theirs" * 9
            await until(lambda: channel.told)
            ada.source += "by Ada\n"
            await until(lambda: "by Ada" in guest.source)
            await until(lambda: "by Ada" in file.read_text())
    assert ada.source == file.read_text() == "begun\nby Ada\n"
    assert b'{"type": "conflict"}' in channel.told[0]


@pytest.mark.parametrize("path", ["api/kernels", "api/terminals", "api/sessions", "api/contents"])
async def test_a_guest_may_not_go_round(server, jp_fetch, path: str) -> None:
    """No kernel, terminal or file of the guest's own: each could write."""
    with pytest.raises(HTTPClientError, match="403"):
        await jp_fetch(path, method="POST", body="{}", headers={"Authorization": f"token {GUEST}"})


async def test_nobody_comes_in_without_a_token(server, jp_fetch) -> None:
    """Not even with the token that the server would have had."""
    with pytest.raises(HTTPClientError, match="403"):
        await jp_fetch("api/rtc/rooms", headers={"Authorization": f"token {server.token}"})
