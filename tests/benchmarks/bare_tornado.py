"""What a few lines of Tornado give: every message written to every other member with `write_message`."""

from __future__ import annotations

import asyncio
import sys

from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Member(WebSocketHandler):
    """Hand every message of this peer to all others in its room."""

    def initialize(self, rooms: dict[str, set[Member]]) -> None:
        """Keep the rooms of this application."""
        self.rooms = rooms

    def open(self, name: str) -> None:
        """Enter the room."""
        self.set_nodelay(True)
        self.room = self.rooms.setdefault(name, set())
        self.room.add(self)

    def on_message(self, message: str | bytes) -> None:
        """Broadcast."""
        for other in self.room:
            if other is not self:
                other.write_message(message, binary=True)

    def on_close(self) -> None:
        """Leave the room."""
        self.room.discard(self)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    application = Application([(r"/(.*)", Member, {"rooms": {}})])
    application.listen(port, "127.0.0.1", backlog=2048)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
