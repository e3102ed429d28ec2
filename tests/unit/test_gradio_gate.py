"""The gate before an app: a direct call is alone, calls by the queue share it, and nobody is left waiting."""

from __future__ import annotations

import asyncio

import pytest

from spacedock_worker.adapters.gradio.direct import Gate


class Visit:
    """One call through the gate, held open until `leave` is set."""

    def __init__(self, gate: Gate, *, direct: bool) -> None:
        self.entered, self.leave = asyncio.Event(), asyncio.Event()
        self.went_direct: bool | None = None
        self.task = asyncio.create_task(self._go(gate, direct))

    async def _go(self, gate: Gate, direct: bool) -> None:
        async with gate.enter(direct=direct) as went:
            self.went_direct = went
            self.entered.set()
            await self.leave.wait()

    async def cancel(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def settled() -> None:
    """Every task that could go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def gate() -> Gate:
    return Gate(patience=0.0)


async def test_a_direct_call_goes_directly_where_nobody_is(gate: Gate) -> None:
    async with gate.enter(direct=True) as went:
        assert went


async def test_a_direct_call_is_alone(gate: Gate) -> None:
    first = Visit(gate, direct=True)
    await first.entered.wait()
    others = [Visit(gate, direct=direct) for direct in (True, False)]
    await settled()
    assert not any(other.entered.is_set() for other in others)
    await first.end()
    for other in others:
        await other.entered.wait()
        await other.end()


async def test_calls_by_the_queue_share_the_app(gate: Gate) -> None:
    visits = [Visit(gate, direct=False) for _ in range(5)]
    for visit in visits:
        await visit.entered.wait()
        assert visit.went_direct is False
    for visit in visits:
        await visit.end()


async def test_beside_calls_in_the_queue_a_direct_one_is_queued(gate: Gate) -> None:
    queued = Visit(gate, direct=False)
    await queued.entered.wait()
    direct = Visit(gate, direct=True)
    await direct.entered.wait()
    assert direct.went_direct is False
    await queued.end()
    await direct.end()
    async with gate.enter(direct=True) as went:
        assert went


async def test_a_direct_call_waits_a_moment_for_those_in_the_queue() -> None:
    gate = Gate(patience=10.0)
    queued = Visit(gate, direct=False)
    await queued.entered.wait()
    direct = Visit(gate, direct=True)
    await settled()
    assert not direct.entered.is_set()
    await queued.end()
    await direct.entered.wait()
    assert direct.went_direct is True
    await direct.end()


async def test_a_queue_that_takes_long_is_waited_for_once() -> None:
    gate = Gate(patience=0.05)
    queued = Visit(gate, direct=False)
    await queued.entered.wait()
    first = Visit(gate, direct=True)
    await first.entered.wait()
    async with asyncio.timeout(60):
        rest = [Visit(gate, direct=True) for _ in range(200)]
        for visit in rest:
            await visit.entered.wait()
    assert {visit.went_direct for visit in [first, *rest]} == {False}
    for visit in [queued, first, *rest]:
        await visit.end()


async def test_calls_enter_in_the_order_of_their_arrival(gate: Gate) -> None:
    order: list[int] = []
    held = Visit(gate, direct=True)
    await held.entered.wait()

    async def pass_through(number: int) -> None:
        async with gate.enter(direct=bool(number % 2)):
            order.append(number)

    tasks = [asyncio.create_task(pass_through(number)) for number in range(6)]
    await settled()
    await held.end()
    await asyncio.gather(*tasks)
    assert order == list(range(6))


@pytest.mark.parametrize("direct", [True, False])
async def test_a_call_that_is_cancelled_while_it_waits_leaves_the_gate_usable(
    gate: Gate, direct: bool
) -> None:
    held = Visit(gate, direct=True)
    await held.entered.wait()
    waiting, next_one = Visit(gate, direct=direct), Visit(gate, direct=True)
    await settled()
    await waiting.cancel()
    await held.end()
    await next_one.entered.wait()
    assert next_one.went_direct is True
    await next_one.end()


@pytest.mark.parametrize("direct", [True, False])
async def test_a_call_that_is_cancelled_inside_leaves_the_gate_usable(gate: Gate, direct: bool) -> None:
    inside = Visit(gate, direct=direct)
    await inside.entered.wait()
    await inside.cancel()
    async with asyncio.timeout(60), gate.enter(direct=True) as went:
        assert went


async def test_a_direct_call_that_is_cancelled_in_its_moment_leaves_the_gate_usable() -> None:
    gate = Gate(patience=10.0)
    queued = Visit(gate, direct=False)
    await queued.entered.wait()
    direct = Visit(gate, direct=True)
    await settled()
    await direct.cancel()
    await queued.end()
    async with asyncio.timeout(60), gate.enter(direct=True) as went:
        assert went


async def test_an_error_inside_leaves_the_gate_usable(gate: Gate) -> None:
    for direct in (True, False):
        with pytest.raises(LookupError):
            async with gate.enter(direct=direct):
                raise LookupError
    async with gate.enter(direct=True) as went:
        assert went
