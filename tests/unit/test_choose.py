"""Which waiting jobs a host takes: fair, within what it has, and never idle with work that it can do."""

from __future__ import annotations

from collections import Counter
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from spacedock_worker.queue.choose import (
    AFFINITY_SECONDS,
    BEHIND_SECONDS,
    COLD_JOBS,
    UNBOUND_JOBS,
    Head,
    HostOffer,
    InHand,
    Lane,
    Pick,
    Supply,
    choose,
)

WARM = Supply(1, 1, 0.5, 3.0)


def lane(name: str, virtual: float = 0.0, **counts: int) -> Lane:
    """A lane in which so many jobs wait for each Space."""
    return Lane(name, virtual, tuple(Head(target, 1.0, count) for target, count in counts.items()))


def taken(picks: list[Pick]) -> dict[str, int]:
    """How many jobs of each lane."""
    found: Counter[str] = Counter()
    for pick in picks:
        found[pick.lane] += pick.count
    return dict(found)


def chosen(
    *lanes: Lane,
    offer: HostOffer | None = None,
    free: int = 100,
    hand: dict[str, int] | None = None,
    seconds: dict[str, float] | None = None,
    virtual: float = 0.0,
) -> dict[str, int]:
    """How many jobs are taken of each lane."""
    in_hand = InHand(hand or {}, hand or {})
    return taken(choose(lanes, virtual, free, offer, in_hand, seconds or {}))


def test_without_an_offer_whatever_comes_is_taken_lane_by_lane() -> None:
    assert chosen(lane("a", x=10), lane("b", x=10), free=6) == {"a": 3, "b": 3}


def test_a_lane_alone_has_everything() -> None:
    assert chosen(lane("a", x=10), free=6) == {"a": 6}


def test_a_lane_that_had_less_comes_first() -> None:
    assert chosen(lane("a", 5.0, x=10), lane("b", 3.0, x=10), free=2) == {"b": 2}


def test_long_calls_count_more_than_short_ones() -> None:
    counts = chosen(lane("a", long=99), lane("b", short=99), free=12, seconds={"long": 5.0, "short": 0.5})
    assert counts == {"a": 1, "b": 11} or counts == {"a": 2, "b": 10}


def test_priorities_have_their_shares() -> None:
    counts = chosen(lane("high:a", x=99), lane("normal:b", x=99), lane("low:c", x=99), free=42)
    assert counts["low:c"] >= 1
    assert counts["high:a"] > 3 * counts["normal:b"] > 0


def test_a_warm_space_is_given_no_more_than_its_places_and_one_ahead_for_each() -> None:
    offer = HostOffer(1, {"x": WARM})
    assert chosen(lane("a", x=99), offer=offer) == {"a": 2}
    assert chosen(lane("a", x=99), offer=offer, hand={"x": 2}) == {}


BUSY = HostOffer(3, {"x": Supply(3, 4, 0.5, 3.0)})
FULL = InHand({"x": 76}, {"x": 76}, {("a", "x"): 76})


def test_a_lane_that_had_less_waits_for_nothing_that_is_claimed_ahead_for_another() -> None:
    backlog, prompt = lane("a", 5.0, x=9999), lane("b", 4.0, x=1)
    assert taken(choose((backlog, prompt), 5.0, 50, BUSY, FULL, {})) == {"b": 1}
    # The last jobs of the backlog are in hand, and wait nowhere else.
    assert taken(choose((prompt,), 5.0, 50, BUSY, FULL, {})) == {"b": 1}


def test_a_lane_that_had_more_waits_for_those_that_are_claimed() -> None:
    assert taken(choose((lane("a", 5.0, x=9999), lane("b", 6.0, x=1)), 5.0, 50, BUSY, FULL, {})) == {}


def test_a_lane_that_goes_first_has_no_more_in_hand_than_there_are_places() -> None:
    lanes = lane("high:a", 500.0, x=9999), lane("high:b", 400.0, x=9999)
    assert taken(choose(lanes, 500.0, 50, BUSY, FULL, {}))["high:b"] == 12


def test_another_host_with_a_place_has_the_chance_to_take_a_job_first() -> None:
    lanes = (Lane("b", 4.0, (Head("x", 0.0, 1),)),)
    assert choose(lanes, 5.0, 50, BUSY, FULL, {}, 2) == []
    (pick,) = choose((lane("b", 4.0, x=1),), 5.0, 50, BUSY, FULL, {}, 2)
    assert pick.lane == "b"


def test_a_prompt_for_a_model_waits_for_no_backlog_either() -> None:
    in_hand = InHand({"": UNBOUND_JOBS}, {}, {("a", ""): UNBOUND_JOBS})
    lanes = Lane("a", 5.0, (Head("", 1.0, 99),)), Lane("b", 0.0, (Head("", 1.0, 1),))
    assert taken(choose(lanes, 5.0, 50, HostOffer(3), in_hand, {})) == {"b": 1}


def test_nothing_is_claimed_ahead_of_long_calls() -> None:
    offer = HostOffer(1, {"x": Supply(1, 1, 20.0, 3.0)})
    assert chosen(lane("a", x=99), offer=offer) == {"a": 1}


def test_where_there_is_room_enough_is_claimed_to_make_another_container_worth_while() -> None:
    offer = HostOffer(3, {"x": WARM})
    (count,) = chosen(lane("a", x=99), offer=offer).values()
    assert (count - 1) * 0.5 > 3.0


def test_other_hosts_have_their_share_of_what_is_claimed_ahead() -> None:
    offer = HostOffer(3, {"x": WARM})
    picks = choose((lane("a", x=4),), 0.0, 100, offer, InHand({}, {"x": 1}), {}, hosts=2)
    assert sum(pick.count for pick in picks) <= 2
    alone = choose((lane("a", x=4),), 0.0, 100, offer, InHand({}, {"x": 1}), {})
    assert sum(pick.count for pick in alone) == 4


def test_jobs_for_a_space_that_is_up_go_before_older_ones_within_a_bound() -> None:
    offer = HostOffer(1, {"x": Supply(1, 1, 20.0, 3.0)})

    def first(age: float) -> str:
        heads = Head("y", age, 1), Head("x", 0.5, 1)
        (pick,) = choose((Lane("a", 0.0, heads),), 0.0, 1, offer, InHand(), {})
        return pick.target

    assert first(1.0) == "x"
    assert first(AFFINITY_SECONDS + 1) == "y"


def test_a_warm_space_is_served_although_a_batch_fills_the_host() -> None:
    offer = HostOffer(3, {"x": Supply(2, 1, 0.5, 3.0), "y": WARM})
    assert chosen(lane("batch", x=300), lane("one", y=1), offer=offer, hand={"x": 4})["one"] == 1


def test_a_cold_space_gets_the_container_that_has_become_free() -> None:
    offer = HostOffer(3, {"x": Supply(3, 1, 0.5, 3.0)})
    assert chosen(lane("batch", 9.5, x=300), lane("one", 9.0, y=1), offer=offer, hand={"x": 2})["one"] == 1


def test_who_waits_for_room_keeps_others_from_filling_it() -> None:
    full = HostOffer(3, {"x": Supply(3, 10, 0.5, 3.0)})
    assert chosen(lane("batch", 9.0, x=300), lane("one", 8.0, y=1), offer=full, hand={"x": 29}) == {}
    # Once a container's worth of calls has ended, the rest is the batch's as before.
    counts = chosen(lane("batch", 9.0, x=300), lane("one", 8.0, y=1), offer=full, hand={"x": 19})
    assert counts["one"] == 1
    assert 19 + counts["batch"] <= 40


def test_of_a_cold_space_one_job_is_taken_until_its_container_is_there() -> None:
    offer = HostOffer(3)
    assert chosen(lane("a", x=99), offer=offer) == {"a": COLD_JOBS}
    assert chosen(lane("a", x=99), offer=offer, hand={"x": COLD_JOBS}) == {}


def test_no_more_cold_spaces_than_containers() -> None:
    assert sum(chosen(lane("a", v=1, w=1, x=1, y=1, z=1), offer=HostOffer(3)).values()) == 3


def test_jobs_without_a_space_are_bounded_by_themselves() -> None:
    assert chosen(Lane("a", 0.0, (Head("", 1.0, 99),)), offer=HostOffer(1)) == {"a": UNBOUND_JOBS}


def test_a_lane_that_could_not_be_served_catches_up_within_a_bound() -> None:
    picks = choose((lane("a", 0.0, x=1), lane("b", 1000.0, x=1)), 1000.0, 2, None, InHand(), {})
    behind = next(pick for pick in picks if pick.lane == "a")
    assert behind.lag == 1000.0 - BEHIND_SECONDS


names = st.sampled_from(["x", "y", "z", "", "tier:fast"])
heads = st.lists(st.tuples(names, st.integers(1, 40)), max_size=4, unique_by=lambda row: row[0])
lanes = st.lists(
    st.tuples(st.sampled_from(["high", "normal", "low"]), st.floats(0, 50), heads), max_size=5
).map(
    lambda rows: tuple(
        Lane(f"{priority}:{n}", virtual, tuple(Head(target, 1.0, count) for target, count in found))
        for n, (priority, virtual, found) in enumerate(rows)
    )
)
supply = st.builds(
    Supply,
    st.integers(1, 3),
    st.integers(1, 8),
    st.none() | st.floats(0.001, 30),
    st.none() | st.floats(0.1, 30),
)
supplies = st.dictionaries(st.sampled_from(["x", "y", "z"]), supply, max_size=3)


def space_of(target: str) -> str | None:
    return None if target in ("", "tier:fast") else target


@given(lanes, supplies, st.integers(1, 4), st.integers(0, 60), st.booleans(), st.floats(0, 60))
def test_whatever_waits_the_choice_holds_its_bounds(
    waiting: tuple[Lane, ...],
    up: dict[str, Supply],
    containers: int,
    free: int,
    short: bool,
    virtual: float,
) -> None:
    offer = HostOffer(containers, up, short, space_of)
    picks = choose(waiting, virtual, free, offer, InHand(), {"x": 0.5})
    counts = {(row.name, head.target): head.count for row in waiting for head in row.heads}
    assert sum(pick.count for pick in picks) <= free
    assert all(0 < pick.count <= counts[pick.lane, pick.target] for pick in picks)
    by_target: Counter[str] = Counter()
    for pick in picks:
        by_target[pick.target] += pick.count
    spaces = {target: count for target, count in by_target.items() if space_of(target)}
    cold = [target for target in spaces if target not in up]
    assert all(spaces[target] <= COLD_JOBS for target in cold)
    busy = sum(min(up[t].containers, ceil(c / up[t].calls)) for t, c in spaces.items() if t in up)
    assert busy + len(cold) <= max(containers, sum(up[t].containers for t in spaces if t in up))
    # A host with room is never idle with work that it can do.
    if free and not short and not picks:
        assert not counts


@given(st.lists(st.integers(1, 200), min_size=2, max_size=6), st.integers(1, 300))
def test_lanes_alike_never_differ_by_more_than_one_job(counts: list[int], free: int) -> None:
    waiting = tuple(lane(f"lane-{n}", x=count) for n, count in enumerate(counts))
    found = taken(choose(waiting, 0.0, free, None, InHand(), {}))
    assert sum(found.values()) == min(free, sum(counts))
    left = [found.get(f"lane-{n}", 0) for n, count in enumerate(counts) if found.get(f"lane-{n}", 0) < count]
    assert not left or max(found.values()) - min(left) <= 1
