"""What a hostile program may use up of the host, and leave for whoever reads its output, on the real engine.

tests/integration/test_command.py has more of it: memory that is eaten up, output without end, a file and a
text of 10 GB, too many files, links, pipes and devices in the output folder, a link in its place, a child
that stays, a program that never ends. tests/acceptance/test_broken_spaces.py has servers that eat memory,
hang and crash.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

import pytest
from tests.integration.hostile.conftest import attacked, silent

from spacedock.batching.results.saving import file_name
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.containers.docker.create_body import OWNER_LABEL, SPACE_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError


async def test_a_program_has_no_more_processes_than_it_may(attack, settings) -> None:
    got = (await attack({"fork_children": {}})).data["output"]["fork_children"]
    assert got["error"] == "EAGAIN"
    # The container's init and the program itself count too.
    assert got["children"] <= settings.pids - 2


async def test_a_fork_bomb_leaves_the_host_and_other_spaces_alone(
    engine, settings, pool, attack, serving
) -> None:
    async with serving() as other, asyncio.timeout(60):
        bomb = asyncio.create_task(attack({"fork_bomb": {}}))
        await reaches_its_limit(engine, settings, bomb)
        async with asyncio.timeout(60):
            answer = await other.app.call(AppCall("harmless"), silent)
            assert await asyncio.to_thread(subprocess.run, ["true"], check=True)
        assert answer.text == "nothing happened"
        bomb.cancel()
        await asyncio.gather(bomb, return_exceptions=True)
        await pool.settled()
    assert repr(pool) == "<Pool 1/3 containers: 1 idle; 0 waiting>"


async def reaches_its_limit(engine: Engine, settings: ContainerSettings, bomb: asyncio.Task[Any]) -> None:
    """Return once the bomb has all the processes that it may have."""
    labels = [f"{OWNER_LABEL}={settings.instance_id}", f"{SPACE_LABEL}=hostile-program"]
    counted = 0
    while counted < settings.pids - 2:
        assert not bomb.done()
        async with engine.call(Stage.CALL) as docker:
            for container in await docker.containers.list(filters=json.dumps({"label": labels})):
                path, params = f"containers/{container.id}/stats", {"stream": "false", "one-shot": "true"}
                stats = await docker._query_json(path, params=params)
                counted = int(stats["pids_stats"].get("current", 0))


async def test_children_share_the_memory_of_their_program(attack) -> None:
    answer = await attack({"hungry_children": {"count": 20}}, memory=96 * 2**20)
    assert answer.data["output"] == {"hungry_children": {"first_ended_by": "SIGKILL"}}


async def test_what_is_written_to_tmp_counts_as_memory(engine, settings) -> None:
    roomy = settings.model_copy(update={"tmp_size": 2**30, "memory": 64 * 2**20})
    async with Pool(engine, roomy) as pool:
        with pytest.raises(StepError) as caught:
            await attacked(engine, pool, {"fill": {"paths": ["/tmp"]}})
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.OUT_OF_MEMORY)


async def test_a_log_is_cut_at_its_limit(engine, settings, serving) -> None:
    labels = json.dumps({"label": [f"{OWNER_LABEL}={settings.instance_id}"]})
    async with serving() as lease:
        await lease.app.call(AppCall("flood_log"), silent)
        async with engine.call(Stage.CALL) as docker:
            [container] = await docker.containers.list(filters=labels)
            path, params = f"containers/{container.id}/logs", {"stdout": "true"}
            async with docker._query(path, params=params) as response:
                kept = len(await response.read())
    # Of 32 MB; the engine's own words around each line count too.
    assert 0 < kept <= 10 * 10**6


async def test_odd_output_names_are_files_in_one_folder(attack) -> None:
    odd = [
        "..\\..\\climbs.txt",
        "...",
        "-rf",
        "a\nb.txt",
        "\x1b[2Jclear.txt",
        "\u202egnp.exe",
        ".bashrc",
        "~",
        " ",
    ]
    lost = ["/etc/cron.d/mine", "../../root/climbs.txt", "..", "."]
    answer = await attack({"leave_names": {"names": [*odd, *lost]}})
    tried = answer.data["output"]["leave_names"]
    assert {name for name, came_of_it in tried.items() if came_of_it == "done"} == set(odd)
    names = [file_name(file.ref.name) for file in answer.files]
    assert len(names) == len(odd)
    assert all(name.isprintable() and not name.startswith(".") for name in names)
    assert all("/" not in name and name.strip(".") for name in names)


async def test_links_out_of_the_output_folder_bring_nothing(attack) -> None:
    targets = ["/etc/passwd", "/proc/self/environ", "../../../etc/passwd", "/", "/var/run/docker.sock"]
    answer = await attack({"leave_links": {"targets": targets}})
    assert [(file.ref.name, file.data) for file in answer.files] == [("plain.txt", b"plain")]
