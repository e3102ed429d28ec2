"""Which claimed jobs go back: those that wait beyond this host's containers, and no more than others take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.hosts import Host
from spacedock_worker.queue.choose import AFFINITY_SECONDS, Head, HostOffer, InHand, Lane, Supply, choose
from spacedock_worker.queue.give_back import Leaving, OtherHost, WaitingJob, to_give_back

SPACES = st.sampled_from(["x", "y", "z"])


def waiting(number: int, seconds: float, space: str = "x") -> WaitingJob:
    return WaitingJob(f"{number}", space, space, seconds)


def other(free: int = 1, serves: str = "xyz", **warm: int) -> OtherHost:
    return OtherHost(Host(id=f"{free}{serves}{warm}", containers=3, jobs=3 - free, warm=warm), set(serves))


def ids(jobs: Sequence[WaitingJob]) -> list[str]:
    return [job.id for job in jobs]


jobs = st.lists(
    st.builds(waiting, st.integers(0, 99), st.floats(0, 30), SPACES), unique_by=lambda job: job.id
)
others = st.lists(
    st.builds(other, st.integers(0, 3), st.sampled_from(["x", "xy", "xyz", ""]), x=st.integers(1, 2)),
    max_size=3,
    unique_by=lambda one: one.host.id,
)
offers = st.builds(
    HostOffer,
    st.integers(1, 4),
    st.dictionaries(SPACES, st.builds(Supply, st.integers(1, 2), st.integers(1, 2))),
    st.booleans(),
)


@given(jobs, others, offers, st.dictionaries(SPACES, st.integers(0, 3)))
def test_no_more_goes_back_than_others_have_free_and_what_is_served_soon_stays(
    held: list[WaitingJob], hosts: list[OtherHost], offer: HostOffer, at_work: dict[str, int]
) -> None:
    in_hand = Counter(job.space for job in held) + Counter(at_work)
    given_back = to_give_back(held, offer, InHand({}, in_hand), hosts)
    assert len(given_back) <= sum(one.free for one in hosts)
    assert len(set(ids(given_back))) == len(given_back)
    for space, count in Counter(job.space for job in given_back).items():
        assert in_hand[space] - count >= min(in_hand[space], offer.supplies.get(space, Supply(0)).places)
        assert any(one.free and space in one.serves for one in hosts)
        newest = sorted((job for job in held if job.space == space), key=lambda job: job.seconds)
        assert max(job.seconds for job in given_back if job.space == space) <= newest[-1].seconds
    assert all(job.seconds >= 1 for job in given_back)


def test_the_newest_goes_to_a_host_that_has_the_space_up() -> None:
    offer, in_hand = HostOffer(3, {"x": Supply(1)}), InHand({}, {"x": 3})
    held = [waiting(1, 3.0), waiting(2, 2.0)]
    assert ids(to_give_back(held, offer, in_hand, [other(1, x=1)])) == ["2"]
    assert ids(to_give_back(held, offer, in_hand, [other(3, x=1)])) == ["2", "1"]
    assert to_give_back(held, offer, in_hand, [other(0, x=1)]) == []
    assert to_give_back(held, offer, in_hand, [other(3, "yz", x=1)]) == []


def test_a_host_that_must_start_the_space_gets_only_what_has_waited_for_long() -> None:
    offer, in_hand = HostOffer(3, {"x": Supply(1)}), InHand({}, {"x": 3})
    held = [waiting(1, AFFINITY_SECONDS), waiting(2, AFFINITY_SECONDS - 1)]
    assert ids(to_give_back(held, offer, in_hand, [other(3)])) == ["1"]


def test_the_job_that_a_container_is_started_for_stays_unless_there_is_no_room() -> None:
    held, in_hand, hosts = [waiting(1, 60.0)], InHand({}, {"x": 1}), [other(1, x=1)]
    assert to_give_back(held, HostOffer(3), in_hand, hosts) == []
    assert ids(to_give_back(held, HostOffer(3, short=True), in_hand, hosts)) == ["1"]


async def test_what_was_left_to_others_is_left_for_a_while() -> None:
    async def found(targets: Sequence[str]) -> list[OtherHost]:
        assert list(targets) == ["x"]
        return [other(1, x=1)]

    leaving, offer, in_hand = Leaving(found), HostOffer(3, {"x": Supply(1)}), InHand({}, {"x": 2})
    assert await leaving.chosen([waiting(1, 0.5)], offer, in_hand, 100.0) == []
    assert await leaving.chosen([waiting(1, 2.0)], offer, in_hand, 100.0) == ["1"]
    assert leaving.targets(101.0) == ["x"]
    assert leaving.targets(105.0) == []


@pytest.mark.parametrize("target", ["", "x"])
def test_of_what_is_left_to_others_nothing_is_claimed_ahead(target: str) -> None:
    lanes = (Lane("normal:batch:b", 0.0, (Head(target, 0.0, 9),)),)
    offer = HostOffer(3, {"x": Supply(1, call=0.1)})
    in_hand = InHand({target: 1}, {"x": 1} if target else {})
    assert choose(lanes, 0.0, 9, offer, in_hand, {}) != []
    assert choose(lanes, 0.0, 9, offer, in_hand, {}, 2, [target]) == []
    if target:
        (pick,) = choose(lanes, 0.0, 9, offer, InHand({}, {}), {}, 2, [target])
        assert pick.count == 1
