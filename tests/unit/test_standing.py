"""What a waiting job waits for, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from spacedock._wire.view.standing import Place, reason
from spacedock.hosts import Host


def host(name: str, **more: Any) -> Host:
    return Host(id=f"id-{name}", name=name, containers=3, **more)


A, B, GONE = host("a"), host("b", jobs=4), Host(id="id-c", alive=False)
PAUSED, CPU = host("p", paused=True), host("cpu", lacks_gpu_for=("x",))


@pytest.mark.parametrize(
    ("place", "hosts", "serving", "said"),
    [
        (Place(""), [], [], "no host works on this queue: start one with `spacedockd`"),
        (Place("x"), [GONE], [GONE], "no host works on this queue: start one with `spacedockd`"),
        (Place("x"), [A, GONE], [GONE], "waits for a host that has 'x': id-c is gone"),
        (Place("x"), [CPU, GONE], [GONE], "waits for a host with a GPU for 'x': id-c is gone"),
        (
            Place("x"),
            [A, PAUSED],
            [PAUSED],
            "waits for a paused host: p is paused (`spacedock hosts resume p`)",
        ),
        (Place("x"), [A, GONE], [A, GONE], "the next of the same client"),
        (Place("nobody's"), [A], [], "the next of the same client"),
        (Place("user/space"), [A, PAUSED], [], "the next of the same client"),
        (Place("", rests=4.2), [A], [], "tried again in 4 s, as its worker or its host had trouble"),
        (Place("", ahead=1, batch=True), [A], [], "behind 1 job of its batch"),
        (
            Place("", ahead=1200, lanes=2, batch=True),
            [A],
            [],
            "behind 1,200 jobs of its batch, in turn with 2 other lanes",
        ),
        (Place("x"), [A, B], [B], "the next of the same client; waits for room: b has 4 jobs in hand"),
        (Place("x"), [A, B], [A, B], "the next of the same client"),
    ],
)
def test_a_waiting_job_says_what_it_waits_for(
    place: Place, hosts: Sequence[Host], serving: Sequence[Host], said: str
) -> None:
    assert reason(place, hosts, {host.id for host in serving}) == said


def test_a_job_that_its_host_gave_back_says_what_that_waits_for() -> None:
    full = "waiting in the queue for a host with room. The disk of the Docker Engine on host a is full."
    assert reason(Place("", rests=4.2), [A], set(), full) == f"tried again in 4 s: {full}"
    assert "had trouble" in reason(Place("", rests=4.2), [A], set(), "asking")
    assert reason(Place("", rests=0.2), [A], set(), full) == "the next of the same client"


def test_of_many_hosts_the_first_are_named() -> None:
    many = [Host(id=f"h{n}", alive=False) for n in range(5)]
    said = reason(Place("x"), [A, *many], {host.id for host in many})
    assert said == "waits for a host that has 'x': h0, h1, h2 and 2 more are gone"
