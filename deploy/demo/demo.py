"""The demo: real prompts and files, real Spaces in containers, and the chain stepping down to SmolLM.

It starts a daemon of its own on a throw-away state directory, and leaves nothing behind but Docker's images.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from spacedock import Client, JobResult, SpacedockError

HERE = Path(__file__).parent
FIXTURES = HERE.parent.parent / "tests/spaces/fixtures"
START_SECONDS = 60.0
STOP_SECONDS = 90.0

console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)


@dataclass(frozen=True, slots=True)
class Act:
    """One job of the demo, and what its answer must be: who gives it, and a word that is in it."""

    title: str
    prompt: str = ""
    space: str | None = None
    file: Path | None = None
    tier: str = "heavy"
    by: str | None = None
    word: str = ""
    degraded: bool = False

    @property
    def shown(self) -> str:
        """The prompt, or the file's name where there is none."""
        return self.prompt or (self.file.name if self.file else "")

    def kept(self, result: JobResult) -> bool:
        """Whether the result is what the demo promises."""
        by = result.answered_by
        return (
            by is not None
            and by.tier.value == self.tier
            and (self.by is None or by.name == self.by)
            and self.word.lower() in (result.output.text or "").lower()
            and result.degraded == self.degraded
        )


ACTS = (
    Act("text", "I love this little ship, it is wonderful!", "sentiment", word="positive"),
    Act("text", "The food was awful and the service was slow.", "sentiment", word="negative"),
    Act("picture", space="sign-reader", file=FIXTURES / "sign.png", word="dock"),
    Act("sound", space="transcriber", file=FIXTURES / "hello.wav", word="hello world"),
    Act(
        "Space crashes, alternate answers",
        "What a lovely day!",
        "crashing-sentiment",
        by="sentiment",
        word="positive",
    ),
    Act(
        "no Space can, SmolLM answers",
        "A small harbour at dawn",
        "crashing-painter",
        tier="default",
        degraded=True,
    ),
    Act("no Space asked for", "What colour is the sky on a clear day?", tier="default"),
)


async def main() -> int:
    """Play every act; 0 when each kept its promise."""
    with tempfile.TemporaryDirectory(prefix="spacedock-demo-") as folder:
        async with daemon(Path(folder)) as url, Client(url) as client:
            results = await play(client)
    console.print(table(results))
    broken = [(act, result) for act, result in results if not act.kept(result)]
    for act, result in broken:
        console.print(f"not as promised: {act.title}: {escape(act.shown)}", style="red")
        if result.error:
            console.print(escape(result.error.message), style="red")
    cold, warm = (results[0][1].timings.total, results[1][1].timings.total)
    console.print(f"The second prompt to a warm Space took {warm:.2f} s, the first {cold:.2f} s.")
    return 1 if broken else 0


async def play(client: Client) -> list[tuple[Act, JobResult]]:
    """Run the acts one after the other, each with its progress."""
    results = []
    for number, act in enumerate(ACTS, 1):
        console.print(f"[bold]{number}/{len(ACTS)}[/] {act.title}: {escape(act.shown)}")
        files = [act.file] if act.file else []
        job_id = await client.submit(act.prompt, space=act.space, files=files)
        telling = asyncio.create_task(tell(client, job_id))
        result = await client.result(job_id)
        with suppress(asyncio.CancelledError):
            telling.cancel()
            await telling
        results.append((act, result))
    return results


async def tell(client: Client, job_id: str) -> None:
    """Print a job's progress, each message once."""
    last = ""
    async for event in client.watch(job_id):
        if event.stage is None:
            continue
        line = f"    {event.name}: {event.message}"
        if line != last:
            console.print(escape(line), style="dim")
        last = line


def table(results: list[tuple[Act, JobResult]]) -> Table:
    """The results as a table."""
    drawn = Table(box=box.SIMPLE_HEAD, title="What was asked, and who answered", pad_edge=False)
    for column in ("prompt", "answered by", "tier", "seconds", "degraded", "answer"):
        drawn.add_column(column, overflow="fold", justify="right" if column == "seconds" else "left")
    for act, result in results:
        by = result.answered_by
        drawn.add_row(
            escape(act.shown),
            escape(by.name) if by else "nobody",
            by.tier.value if by else "-",
            f"{result.timings.total:.2f}",
            "yes" if result.degraded else "no",
            escape(shortened(result.output.text or (result.error.message if result.error else ""))),
        )
    return drawn


def shortened(text: str, width: int = 80) -> str:
    """The text in one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[str]:
    """A daemon with its state, sockets and log in `folder`; yields its Redis."""
    with started(folder) as process:
        url = f"unix://{folder}/run/redis.sock"
        await ready(url, process, folder / "log")
        yield url
        console.print("stopping the daemon and its containers", style="dim")


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon's process, terminated in the end."""
    command = [str(Path(sys.executable).with_name("spacedockd"))]
    command += ["--state-dir", f"{folder}/state", "--runtime-dir", f"{folder}/run"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")}
    env |= {"SPACEDOCK_REGISTRY": str(HERE / "registry.yaml"), "SPACEDOCK_LOOK_FOR_MODELS": "false"}
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=env, stderr=log) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


async def ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the daemon's worker takes jobs; show the log where it does not."""
    end = monotonic() + START_SECONDS
    while monotonic() < end and process.poll() is None:
        with suppress(SpacedockError):
            async with Client(url) as client:
                if await client.workers():
                    return
        await asyncio.sleep(0.1)
    raise SystemExit(f"the daemon did not start:\n{await asyncio.to_thread(log.read_text)}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
