"""The accidents. Each begins with people who have opened a file; the verdict comes afterwards, see `World`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from documents.disks import read_only

from .garbage import send_garbage
from .kinds import Kind
from .program import corrupt, filled, locked
from .world import World

Accident = Callable[[World], Awaitable[None]]


async def nothing(world: World) -> None:
    """No accident: people type."""
    await world.begin()
    async with world.typing():
        await world.a_while(1.0, 2.0)


# ------------------------------------------------------------------ the server ends


async def killed_while_typing(world: World) -> None:
    """kill -9, twice; everybody goes on typing while the server is down."""
    await world.begin()
    async with world.typing():
        for _ in range(2):
            await world.a_while(0.4, 1.0)
            world.server.kill()
            await world.start()
        await world.a_while(0.2, 0.5)


async def killed_and_the_store_wiped(world: World) -> None:
    """kill -9, and all that the server keeps besides the files is gone."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.5, 1.2)
        world.server.kill()
        world.wipe_store()
        await world.start()
        await world.a_while(0.5, 1.0)


async def killed_and_edited_outside(world: World) -> None:
    """kill -9; the files are edited while the server is down, and so are the documents, offline."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.5, 1.2)
        world.server.kill()
        for desk in world.desks:
            if desk.whole():
                await desk.edit_outside()
        await world.a_while(0.1, 0.3)
        await world.start()
        await world.a_while(0.2, 0.5)


async def terminated_after_a_keystroke(world: World) -> None:
    """SIGTERM as soon as the last key has reached the server: all of it is on disk before anybody comes back."""
    await world.begin()
    await asyncio.gather(*(person.type(5) for person in world.people))
    await world.in_sync()
    said = {desk.kind.name: desk.people[0].said() for desk in world.desks}
    world.server.terminate()
    await world.ended()
    for desk in world.desks:
        desk.expect(said[desk.kind.name])
        await desk.leave()
    await world.start()
    for desk in world.desks:
        await desk.seat("ada")


async def everybody_sleeps(world: World) -> None:
    """All go, the room is dropped, the file edited; then a sleeper comes back with edits made while away."""
    await world.begin(world.contestant.eviction)
    async with world.typing():
        await world.a_while(0.4, 0.8)
    await world.in_sync()
    for person in world.people:
        await person.sleep()
    await asyncio.gather(*(person.type(3) for person in world.people))
    await world.evicted()
    for desk in world.desks:
        await desk.edit_outside()
        fresh = await desk.seat("fresh")
        await fresh.type(2)
    await world.a_while(0.2, 0.4)
    for desk in world.desks:
        fresh = desk.people.pop()
        await desk.saved(fresh)
        await fresh.leave()
    await world.evicted()
    for person in world.people:
        await person.wake()


# ------------------------------------------------------------------ the file changes


async def edited_outside_while_typing(world: World) -> None:
    """A program puts words into the files, again and again, while everybody types."""
    await world.begin()
    async with world.typing():
        for _ in range(7):
            await world.a_while(0.1, 0.5)
            for desk in world.desks:
                await desk.edit_outside()


async def two_views(world: World) -> None:
    """Each file is open in a second view: a notebook as text, a text by a symbolic link. All type."""
    await world.begin()
    for desk in world.desks:
        path, kind = desk.path, Kind("view", desk.path, "file", "text", desk.kind.minor, raw=bool(desk.kind.minor))
        if not desk.kind.minor:
            path = "link.txt"
            (world.server.root / path).symlink_to(desk.path)
        for name in ("vera", "walt"):
            await desk.seat(name, kind, path)
    for person in world.people:
        # Half a word is a text like any other to the other view, where somebody may type behind it.
        person.in_pieces = False
    async with world.typing(0.15):
        await world.a_while(2.0, 3.0)


async def renamed_inside(world: World) -> None:
    """A file is renamed, and moved into a folder, through Jupyter; then kill -9."""
    await world.begin()
    (world.server.root / "folder").mkdir()
    async with world.typing():
        for prefix in ("new-", "folder/"):
            await world.a_while(0.2, 0.6)
            for desk in world.desks:
                new = prefix + desk.path
                status, answer = await world.server.ask("PATCH", f"api/contents/{desk.path}", {"path": new})
                assert status == 200, answer
                desk.path = new
        await world.a_while(0.1, 0.5)
        world.server.kill()
        await world.start()
        await world.a_while(0.2, 0.4)


async def renamed_outside(world: World) -> None:
    """A file is renamed on disk and put back, edited, while everybody types. Meanwhile it is not made anew."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.3, 0.6)
        away = {}
        for desk in world.desks:
            async with desk.at_one_stroke():
                away[desk] = desk.file.rename(desk.file.with_name(f"away-{desk.path}"))
        await world.a_while(1.5, 2.0)
        for desk in world.desks:
            desk.expect_nothing()
            if not desk.file.exists():
                away[desk].rename(desk.file)
            await desk.edit_outside()
        await world.a_while(0.3, 0.6)


async def deleted_outside(world: World) -> None:
    """A file is deleted on disk while everybody types: it is not made anew, but for Ctrl+S."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.3, 0.6)
        for desk in world.desks:
            async with desk.at_one_stroke():
                desk.file.unlink()
        await world.a_while(1.5, 2.0)
    await _save_again(world)


async def deleted_inside(world: World) -> None:
    """A file is deleted through Jupyter while everybody types: it is not made anew, but for Ctrl+S."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.3, 0.6)
        for desk in world.desks:
            status, answer = await world.server.ask("DELETE", f"api/contents/{desk.path}")
            assert status == 204, answer
        await world.a_while(1.5, 2.0)
    await _save_again(world)


async def _save_again(world: World) -> None:
    await world.in_sync()
    for desk in world.desks:
        desk.expect_nothing()
        await desk.people[0].save(desk.patience)


async def written_in_halves(world: World) -> None:
    """A program empties a file, waits, writes a half, waits, and writes the rest; twice, while everybody types."""
    await world.begin()
    async with world.typing():
        for _ in range(2):
            await world.a_while(0.2, 0.6)
            pause = world.rng.choice((0.05, 0.3, 0.8))
            await asyncio.gather(*(desk.write_in_halves(pause) for desk in world.desks))
        await world.a_while(0.2, 0.4)


async def broken_for_a_while(world: World) -> None:
    """A file is no JSON, or no UTF-8, for a while; then somebody puts it right."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.2, 0.6)
        await asyncio.gather(*(desk.break_for(world.rng.uniform(1.0, 2.0)) for desk in world.desks))
        await world.a_while(0.2, 0.6)


async def read_only_for_a_while(world: World) -> None:
    """The files cannot be written for a while; the server is killed meanwhile."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.3, 0.6)
        with ExitStack() as stack:
            for desk in world.desks:
                stack.enter_context(read_only(desk.file))
            await world.a_while(0.8, 1.2)
            world.server.kill()
            await world.start()
            await world.a_while(0.5, 1.0)
        await world.a_while(0.2, 0.4)


async def disk_full_for_a_while(world: World) -> None:
    """The disk with the files is full for a while; the server is killed meanwhile."""
    await world.begin(disk=True)
    async with world.typing():
        await world.a_while(0.3, 0.6)
        with filled(world.server.root / "disk"):
            await world.a_while(0.8, 1.2)
            world.server.kill()
            await world.start()
            await world.a_while(0.5, 1.0)
        await world.a_while(0.2, 0.4)


# ------------------------------------------------------------------ somebody behaves badly


async def garbage_from_one_peer(world: World) -> None:
    """One peer sends what is no frame, or half of one, while the others type."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.2, 0.4)
        await asyncio.gather(*(send_garbage(world.server, desk.people[0].peer, desk.rng) for desk in world.desks))
        await world.a_while(0.2, 0.4)


async def foreign_history(world: World) -> None:
    """Somebody comes with a document of another history, which says the same and more, and an invented session."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.2, 0.6)
        for desk in world.desks:
            stranger = desk.stranger("eve")
            await stranger.type(3)
            await stranger.wake()
        await world.a_while(0.8, 1.2)


async def ten_people(world: World) -> None:
    """Ten people type for twenty seconds; they lose their connections now and then, and the server dies three times."""
    await world.begin(people=10)
    async with world.typing(0.4), world.losing_connections():
        for _ in range(3):
            await world.a_while(3.0, 5.0)
            world.server.kill()
            await world.start()
        await world.a_while(4.0, 5.0)


# ------------------------------------------------------------------ the database


async def database_locked(world: World) -> None:
    """Another program locks the database; meanwhile somebody comes, and the server is killed."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.4, 0.8)
        with locked(world.database):
            await world.a_while(0.5, 1.0)
            for desk in world.desks:
                await desk.seat("late")
            await asyncio.gather(*(desk.people[-1].type(2) for desk in world.desks))
            world.server.kill()
        with locked(world.database, for_readers=True):
            await world.start()
            await world.a_while(1.0, 1.5)
        await world.a_while(0.5, 1.0)
        world.server.kill()
        await world.start()


async def database_corrupted(world: World) -> None:
    """Somebody writes into the database, and the server is killed."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.4, 0.8)
        for path in world.store_files():
            corrupt(path, world.rng)
        await world.a_while(0.5, 1.0)
        world.server.kill()
        await world.start()
        await world.a_while(0.5, 1.0)


async def database_deleted(world: World) -> None:
    """Somebody deletes the database under the server, which is killed later."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.4, 0.8)
        world.wipe_store()
        await world.a_while(0.5, 1.0)
        world.server.kill()
        await world.start()
        await world.a_while(0.5, 1.0)


async def database_from_a_backup(world: World) -> None:
    """kill -9, and the database is put back as it was before all this; some were offline at the last save."""
    await world.begin()
    world.server.kill()
    backup = world.read_store()
    await world.start()
    async with world.typing():
        await world.a_while(0.8, 1.6)
        sleepers = [world.rng.choice(desk.people) for desk in world.desks]
        for person in sleepers:
            await person.sleep()
        await world.a_while(0.8, 1.6)
        world.server.kill()
        world.write_store(backup)
        await world.start()
        await world.a_while(0.2, 0.5)
        for person in sleepers:
            await person.wake()
        await world.a_while(0.3, 0.6)


async def database_from_a_running_backup(world: World) -> None:
    """The database is put back as a backup read it while people typed; the first to open the files is a newcomer."""
    await world.begin()
    async with world.typing():
        await world.a_while(0.8, 1.6)
        with world.server.stopped():
            backup = world.read_store()
        await world.a_while(0.8, 1.6)
        sleepers = world.rng.sample(world.people, len(world.people))
        for person in sleepers:
            await person.sleep()
            await world.a_while(0.0, 0.3)
        await world.a_while(0.2, 0.6)
        world.server.kill()
        world.write_store(backup)
        await world.start()
        for desk in world.desks:
            await (await desk.seat("carol")).type(2)
        for person in world.rng.sample(sleepers, len(sleepers)):
            await person.wake()
        await world.a_while(0.3, 0.6)


ACCIDENTS: tuple[Accident, ...] = (
    nothing,
    killed_while_typing,
    killed_and_the_store_wiped,
    killed_and_edited_outside,
    terminated_after_a_keystroke,
    everybody_sleeps,
    edited_outside_while_typing,
    two_views,
    renamed_inside,
    renamed_outside,
    deleted_inside,
    deleted_outside,
    written_in_halves,
    broken_for_a_while,
    read_only_for_a_while,
    disk_full_for_a_while,
    garbage_from_one_peer,
    foreign_history,
    ten_people,
    database_locked,
    database_corrupted,
    database_deleted,
    database_from_a_backup,
    database_from_a_running_backup,
)
