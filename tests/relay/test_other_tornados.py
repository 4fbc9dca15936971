"""A Tornado with other private names reads the WebSockets by itself, and what its peers see is as ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents.process import Jupyter
from hypothesis import given
from hypothesis import strategies as st
from tornado import util

from jupyter_rtc.relay.sockets import unexpected_names
from jupyter_rtc.wire import unmasked

from . import renaming

# The tests of the wire contract, once more: they are collected here too, and their servers have another Tornado.
from .peer import Peer
from .test_long_frames import test_the_edits_of_all_others_arrive_while_a_long_frame_is_prepared  # noqa: F401
from .test_reading import (  # noqa: F401
    test_over_tls,
    test_who_is_closed_leaves_at_once_and_not_when_it_answers,
    test_who_sends_more_than_can_be_worked_off_is_read_more_slowly,
    test_who_sends_what_no_websocket_client_sends_is_closed_alone,
)
from .test_socket import TestBrokenPeers, TestSync  # noqa: F401
from .test_unfinished import (  # noqa: F401
    TestBounds,
    test_a_user_and_all_have_so_many_sockets_and_closed_ones_make_place,
)
from .test_y_websocket import packages, test_two_people_type_and_see_each_other, visit  # noqa: F401

SAID = "it reads the WebSockets of rooms by itself"


@pytest.fixture(autouse=True)
def another_tornado(request: pytest.FixtureRequest) -> Iterator[None]:
    """Rename what Tornado calls to read, for the servers of this process."""
    if "installed" in request.keywords:
        yield
        return
    undo = renaming.rename("_receive_frame_loop")
    yield
    undo()
    assert unexpected_names() == []


@pytest.fixture
def jupyter(packages: Path, tmp_path: Path) -> Iterator[Jupyter]:  # noqa: F811
    """Return a server process with another Tornado, which says so once."""
    source = Path(renaming.__file__).read_text().replace("from __future__ import annotations\n", "")
    server = Jupyter(tmp_path / "home", f"{source}\nrename('_receive_frame_loop')")
    server.start()
    yield server
    server.kill()
    assert server.log().count(SAID) == 1


@pytest.mark.installed
def test_the_tornado_that_is_installed_has_all_names() -> None:
    assert unexpected_names() == []


@pytest.mark.installed
@pytest.mark.parametrize(
    "name",
    ["_receive_frame_loop", "_abort", "_handle_message", "client_terminated", "params", "on_ws_connection_close"],
)
def test_a_name_that_is_another_is_noticed(name: str) -> None:
    undo = renaming.rename(name)
    noticed = unexpected_names()
    undo()
    assert [one.rpartition(".")[2] for one in noticed] == [name]
    assert unexpected_names() == []


@pytest.mark.installed
@given(mask=st.binary(min_size=4, max_size=4), data=st.binary())
def test_unmasking_without_tornado_s_is_the_same(mask: bytes, data: bytes) -> None:
    assert unmasked(mask, data) == util._websocket_mask(mask, data)


async def test_tornado_reads_where_it_is_another(server: Any) -> None:
    async with server.connect("room") as one, Peer(one) as ada:
        await ada.until(lambda: ada.synced)
        assert server.extension.by_tornado
