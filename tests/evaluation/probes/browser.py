"""A headless Chromium that a test steers by its own debugging protocol; tests that need it are skipped without one."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")


class Page:
    """An open page: what it logs and asks the network for is kept."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number = socket, 0
        self.errors: list[str] = []
        """Console errors, exceptions and failed loads."""
        self.requests: list[str] = []
        """Addresses asked for, but for the page itself and data: ones."""

    async def call(self, method: str, **options: Any) -> dict[str, Any]:
        """Call a method of the protocol and give its result."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": options})
        while True:
            said = json.loads((await asyncio.wait_for(self._socket.receive(), 60)).data)
            self._note(said)
            if said.get("id") == self._number:
                assert "error" not in said, said
                return dict(said["result"])

    async def run(self, script: str) -> Any:
        """Run a script in the page; its value."""
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _note(self, said: dict[str, Any]) -> None:
        method, params = said.get("method", ""), said.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(str(params["entry"]))
        elif method == "Network.requestWillBeSent":
            address = params["request"]["url"]
            if not address.startswith(("data:", "file:")):
                self.requests.append(address)


def browse(path: Path, folder: Path, steps: Callable[[Page], Awaitable[None]], width: int = 1200) -> None:
    """Open a file in a window of ``width`` pixels and take ``steps`` in it."""
    asyncio.run(_browse(path, folder, steps, width))


async def _browse(path: Path, folder: Path, steps: Callable[[Page], Awaitable[None]], width: int) -> None:
    import aiohttp

    assert BROWSER is not None
    process = subprocess.Popen(
        [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
         f"--user-data-dir={folder}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if (folder / "DevToolsActivePort").exists() and (folder / "DevToolsActivePort").read_text().count("\n"):
                break
            await asyncio.sleep(0.1)
        port = (folder / "DevToolsActivePort").read_text().splitlines()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(one for one in await answer.json() if one["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                await page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                                mobile=False)
                await page.call("Page.navigate", url=path.resolve().as_uri())
                for _ in range(300):
                    if await page.run("document.readyState") == "complete":
                        break
                    await asyncio.sleep(0.1)
                await steps(page)
    finally:
        process.terminate()
        process.wait(20)
