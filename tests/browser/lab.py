"""One person's JupyterLab: read from what the page shows, used through keys and mouse."""

from __future__ import annotations

import re
import time
from collections import deque
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, WebSocket

from .awaiting import eventually, eventually_equal
from .server import TOKEN, LabServer

# Everything that ever asked for this person's attention, also what was gone before the test looked.
RECORD_NOTICES = """
window.notices = [];
new MutationObserver(() => {
  for (const node of document.querySelectorAll('.jp-Dialog, .Toastify__toast')) {
    if (!node.recorded && node.textContent) { node.recorded = true; window.notices.push(node.textContent); }
  }
}).observe(document, { childList: true, subtree: true });
"""
# Clients of Yjs say every 15 s that they are there, and forget after 30 s who does not: by `Date.now`, which they keep.
CLOCK = """
const read = Date.now;
Date.now = () => window.heldAt ?? read();
"""
# y-websocket on a frame it does not know, on one it reads as a refusal; yjs on an update it cannot take.
COMPLAINTS = re.compile(r"unable to compute message|unknown message|permission denied|caught error while|yjs", re.I)
KNOWS_LAST_SAVE = """() => {
  const { context } = window.jupyterapp.shell.currentWidget;
  const hash = context.model.sharedModel.ystate.get('hash');
  return hash === undefined || context.contentsModel.hash === hash;
}"""
SERVER_IS_AWAY = "A connection to the Jupyter server could not be established."
LINES = "nodes => nodes.map(node => [...node.querySelectorAll('.cm-line')].map(l => l.textContent).join('\\n'))"
LAUNCHER_CROSS = "#jp-main-dock-panel .lm-TabBar-tab:has-text('Launcher') .lm-TabBar-tabCloseIcon"
DOCUMENT_TAB = "#jp-main-dock-panel .lm-TabBar-tab[title*='Path: ']"


class Lab:
    """A page with JupyterLab, as one person sees and uses it; one document is open in it at a time."""

    def __init__(self, page: Page, server: LabServer, workspace: str, token: str = TOKEN) -> None:
        """Load JupyterLab from `server` into `page`, in an empty workspace of that name."""
        self.page = page
        self.crashed = False
        self.expected_notices: list[str] = []
        self.console: deque[str] = deque(maxlen=300)
        self.wire: deque[str] = deque(maxlen=300)
        self._began = time.monotonic()
        page.add_init_script(RECORD_NOTICES)
        page.add_init_script(CLOCK)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        page.on("websocket", self._on_websocket)
        page.on("crash", lambda _: setattr(self, "crashed", True))
        page.goto(f"{server.url}/lab/workspaces/{workspace}?token={token}")
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        page.wait_for_function("() => window.jupyterapp !== undefined")
        # Not a promise to wait for: under load Chromium now and then forgets one that nobody but us holds.
        page.evaluate("() => { window.jupyterapp.restored.then(() => { window.loadedOnce = true; }); }")
        page.wait_for_function("() => window.loadedOnce === true")

    # Documents

    def open(self, path: str) -> None:
        """Open a file and wait until its content is on the screen."""
        self.command("docmanager:open", path=path)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell .cm-content, .jp-FileEditor .cm-content")
        eventually_equal(lambda: self.page.locator(".jp-Document-Spinner, .jp-Spinner").count(), 0)

    def command(self, name: str, **arguments: Any) -> None:
        """Execute a command of JupyterLab, and wait for it."""
        script = "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)"
        self.page.evaluate(script, [name, arguments])

    def start_command(self, name: str) -> None:
        """Execute a command that asks something in a dialog, without waiting for its end."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def tab_titles(self) -> list[str]:
        """Return the labels of the open documents' tabs."""
        return self.page.locator(f"{DOCUMENT_TAB} .lm-TabBar-tabLabel").all_text_contents()

    def await_saved(self) -> None:
        """Wait until all documents are saved and stay so for a second.

        A notebook that is clean may be changed by its page once more, after its kernel is idle.
        """

        def gets_dirty() -> bool:
            return any(self.is_dirty() or self.page.wait_for_timeout(100) for _ in range(10))

        eventually_equal(gets_dirty, False)

    def close_all(self) -> None:
        """Close all documents, when they are saved: JupyterLab asks about the others."""
        self.await_saved()
        self.command("application:close-all")

    def close_launcher(self) -> None:
        """Close the launcher that JupyterLab opens in an empty workspace, if it is there."""
        for cross in self.page.locator(LAUNCHER_CROSS).all():
            cross.click()

    def await_listed(self, name: str) -> None:
        """Wait until the file browser at the left lists a file of that name."""
        self.page.wait_for_selector(f".jp-DirListing-item[title^='Name: {name}']")

    def is_dirty(self) -> bool:
        """Tell whether the document's tab carries the mark of unsaved changes."""
        return self.page.locator(f"{DOCUMENT_TAB}.jp-mod-dirty").count() > 0

    def save(self) -> None:
        """Press Ctrl+S, when JupyterLab has looked at the last save that it was told of.

        Pressed in the few milliseconds in between, JupyterLab itself takes that save for another program's.
        """
        eventually(lambda: self.page.evaluate(KNOWS_LAST_SAVE), bool, "the hash of the last save is known")
        self.page.keyboard.press("Control+s")

    def rename(self, new_name: str) -> None:
        """Rename the open document in JupyterLab's own dialog."""
        self.expected_notices.append("New Name")
        self.start_command("docmanager:rename")
        self.page.locator(".jp-Dialog input").fill(new_name)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".jp-Dialog", state="detached")

    def accept_that_the_server_is_away(self) -> None:
        """Let JupyterLab notice that the server does not answer, and close its dialog for the whole session.

        Else it comes up some seconds later, at any time, and takes the keys.
        """
        self.expected_notices.append(SERVER_IS_AWAY)
        self.page.evaluate("() => { window.jupyterapp.serviceManager.sessions.refreshRunning().catch(() => {}); }")
        dialog = self.page.locator(".jp-Dialog", has_text=SERVER_IS_AWAY)
        dialog.locator("input[type=checkbox]").check()
        dialog.locator("button.jp-mod-reject").click()
        dialog.wait_for(state="detached")

    def survived(self) -> bool:
        """Tell whether this is still the page that was loaded first, never reloaded."""
        return bool(self.page.evaluate("() => window.loadedOnce === true"))

    # Text files

    def text(self) -> str:
        """Return the text in the open text editor."""
        return "".join(self.page.eval_on_selector_all(".jp-FileEditor", LINES))

    def type_in_text(self, text: str) -> None:
        """Type at the end of the open text file."""
        self.page.locator(".jp-FileEditor .cm-content").click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.type(text)

    # Notebooks

    def cells(self) -> list[str]:
        """Return the sources of the open notebook's cells as the editors show them."""
        sources: list[str] = self.page.eval_on_selector_all(".jp-Notebook .jp-Cell", LINES)
        return sources

    def cell(self, index: int) -> Locator:
        """Return the cell of that number."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def edit_cell(self, index: int, key: str = "Control+End") -> None:
        """Put the text cursor into a cell: at its end, or where `key` takes it."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press(key)

    def type_in_cell(self, index: int, text: str) -> None:
        """Type at the end of a cell."""
        self.edit_cell(index)
        self.page.keyboard.type(text)

    def add_cell_below(self, index: int, text: str) -> None:
        """Leave the editor of a cell, press B for a new cell below it, and type into that."""
        self.edit_cell(index)
        count = len(self.cells())
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        eventually(lambda: len(self.cells()), lambda now: now == count + 1, "one cell more")
        self.page.keyboard.press("Enter")
        self.page.keyboard.type(text)

    def await_kernel(self) -> None:
        """Wait until the kernel of the open notebook is idle."""
        self.page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']")

    def run_cell(self, index: int) -> None:
        """Press Ctrl+Enter in a cell, once the kernel is idle."""
        self.await_kernel()
        self.edit_cell(index)
        self.page.keyboard.press("Control+Enter")

    def output(self, index: int) -> str:
        """Return the text of a cell's outputs."""
        return "".join(self.cell(index).locator(".jp-OutputArea-output").all_inner_texts())

    def prompt(self, index: int) -> str:
        """Return what stands before a code cell, such as `[*]:` or `[1]:`."""
        return self.cell(index).locator(".jp-InputPrompt").inner_text()

    # People

    def name(self) -> str:
        """Return the display name of the person who uses this page."""
        return str(self.page.evaluate("() => window.jupyterapp.serviceManager.user.identity.display_name"))

    def show_collaborators(self) -> None:
        """Open the collaboration panel of the left side bar."""
        self.page.locator(".jp-SideBar .lm-TabBar-tab[title^='Collaboration']").click()
        self.page.wait_for_selector(".jp-CollaboratorsList", state="visible")

    def hold_clock(self) -> None:
        """Let no time pass for this page's presence: it renews nothing, and forgets nobody by itself."""
        self.page.evaluate("() => { window.heldAt = Date.now(); }")

    def collaborators(self) -> list[str]:
        """Return the names in the list of online collaborators."""
        return self.page.locator(".jp-CollaboratorsList .jp-CollaboratorHeader > span").all_text_contents()

    def remote_cursors(self) -> int:
        """Return how many cursors of other people are in the open document."""
        return self.page.locator(".jp-remote-cursor").count()

    def remote_cursor_names(self) -> list[str]:
        """Return the names shown at other people's cursors just now."""
        return self.page.locator(".jp-remote-userFlag-name:visible").all_text_contents()

    # What went wrong

    def notices(self) -> list[str]:
        """Return the text of every dialog and notification that has appeared on this page."""
        return list(self.page.evaluate("() => window.notices"))

    def complaints(self) -> list[str]:
        """Return what should not have happened: unexpected notices, protocol errors in the console."""
        notices = [text for text in self.notices() if not any(part in text for part in self.expected_notices)]
        return notices + [line for line in self.console if COMPLAINTS.search(line)]

    def room_closings(self) -> list[str]:
        """Return the recorded ends of WebSockets to documents and to the list of people."""
        return [line for line in self.wire if "closed" in line and "/room/" in line]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.console.append(f"{self._clock()} {message.type}: {message.text[:500]}")

    def _on_websocket(self, socket: WebSocket) -> None:
        name = socket.url.split("/api/", 1)[-1][:60]
        self.wire.append(f"{self._clock()} opened {socket.url}")
        socket.on("close", lambda _: self.wire.append(f"{self._clock()} closed {socket.url}"))
        if "/room/" in socket.url:
            socket.on("framesent", lambda data: self._on_frame(">", name, data))
            socket.on("framereceived", lambda data: self._on_frame("<", name, data))

    def _on_frame(self, direction: str, name: str, data: str | bytes) -> None:
        shown = data[:60] if isinstance(data, bytes) else data[:60].encode()
        self.wire.append(f"{self._clock()} {direction} {name} {len(data)} bytes {shown!r}")

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:7.3f}"
