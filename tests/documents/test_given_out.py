"""A document that holds what the CRDT engine gives out as something else begins anew, and nobody loses a word.

Updates of which that is known are refused at the door, which therefore stands open here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.protocol import decode_state_vector

from .conftest import Opener, Starter
from .listening import heard, sentences
from .peer import Peer, until
from .process import Jupyter
from .test_damaged_record import query

OPEN_DOOR = """
from jupyter_rtc.wire import intake, updates
from jupyter_rtc.wire.causality import Plan
as_it_is = lambda update: Plan((update,), (), False, {}, ())
intake.Intake.admit = lambda self, doc, update: intake.Admitted(update, b"\\0\\0", as_it_is(update), {}, ())
updates.refuse_hazards = lambda update: None
updates.whole = list
"""

LOST = bytes.fromhex("0101ffffffffffffff0f0200ffffffffffffff0f00ffffffffffffff0f01017800")
WAITS = bytes.fromhex("0101070200ffffffff0f00")


def number(value: int) -> bytes:
    """Return a number as lib0 writes it."""
    return bytes([value & 127 | 128]) + number(value >> 7) if value > 127 else bytes([value])


def split(client: int, clock: int) -> bytes:
    """Return the update that puts a text between the two halves of an emoji, the first of which has this clock."""
    left, right = number(client) + number(clock), number(client) + number(clock + 1)
    return b"\x01\x01\x05\x00\xc4" + left + right + b"\x01X\x00"


async def spoilt(ada: Peer, fault: str) -> str:
    """Have Ada type an emoji and more, and something come between that is none of hers; return what is to be read."""
    clock = decode_state_vector(ada.doc.get_state()).get(ada.doc.client_id, 0)
    ada.type("ab😂cd\n")
    update = {"split": split(ada.doc.client_id, clock + 2), "lost": LOST, "waits": WAITS}[fault]
    ada.send(protocol.update(update))
    ada.type("more\n")
    assert await ada.save() == "success"
    return "ab😂Xcd\nmore\n" if fault == "split" else "ab😂cd\nmore\n"


@pytest.mark.parametrize("fault", ["split", "lost", "waits"])
async def test_while_it_is_open(
    start: Starter, join: Opener, prepare: Callable[..., Peer], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(OPEN_DOOR)
    file = server.root / "a.txt"
    file.write_text("")
    ada = await join(server, "a.txt")
    text = await spoilt(ada, fault)
    assert file.read_text() == text
    async with heard(server) as events:
        bob = prepare(server, "a.txt", token="bob")
        monkeypatch.setattr(bob, "_receive", lambda frame: None)  # its own engine could not take what it is sent
        await bob.ask()
        bob.connect()
        await until(lambda: [reason for code, reason in ada.closes if code == 1003], lambda: server.log()[-3000:])
        assert any("began anew with what it says" in said for said in sentences(events, ada.room))
    assert "Reload to" in ada.closes[-1][1]
    await ada.close()
    await bob.close()
    assert "the document cannot be given out" in server.log()
    assert "(a.txt)" in server.log()
    # What is between the halves never came to Ada's page, which may have taken it out of the text that both had.
    now = (await join(server, "a.txt")).text
    assert now in (text, text.replace("X", ""))
    await is_well(server, join, now)


@pytest.mark.parametrize("fault", ["split", "lost", "waits"])
async def test_when_the_server_starts_again(start: Starter, join: Opener, fault: str) -> None:
    """What was typed since the last save is in the record alone."""
    server = start(OPEN_DOOR + "c.Documents.save_delay = c.Documents.max_save_delay = 600")
    file = server.root / "a.txt"
    file.write_text("")
    ada = await join(server, "a.txt")
    text = await spoilt(ada, fault)
    ada.type("unsaved\n")
    await until(lambda: query(server, "SELECT 1 FROM log WHERE instr(data, 'unsaved')"))
    await ada.close()
    server.kill()
    await asyncio.to_thread(server.start)
    bob = await join(server, "a.txt", token="bob")
    assert bob.text == file.read_text() == text
    (copy,) = await until(lambda: server.request("GET", "api/rtc/recovery?path=a.txt")[1]["copies"])
    assert server.request("GET", f"api/rtc/recovery/{copy['id']}")[1]["content"] == f"{text}unsaved\n"
    await bob.close()
    await is_well(server, join, text)


async def is_well(server: Jupyter, join: Opener, text: str) -> None:
    """See that people and the file have the text, now and after a restart, and that what is typed reaches all."""
    for word in ("now\n", "later\n"):
        carol, dave = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
        assert carol.text == dave.text == text
        carol.type(word)
        text += word
        await until(lambda dave=dave, text=text: dave.text == text)
        assert await carol.save() == "success"
        assert (server.root / "a.txt").read_text() == text
        await carol.close()
        await dave.close()
        server.kill()
        await asyncio.to_thread(server.start)
