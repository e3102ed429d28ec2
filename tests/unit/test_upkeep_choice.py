"""Which images go, in which order, and what that frees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spacedock_worker.cleanup.images import Candidate, current, steps, to_free, unneeded
from spacedock_worker.cleanup.inventory import Layer, freed, layers_of, weight

NOW = 1000.0

# Few layers among many images, so that they share some.
SIZES = {f"layer-{n}": 2**n for n in range(8)}
IMAGES = st.dictionaries(
    st.integers(0, 11).map(str),
    st.lists(st.sampled_from(sorted(SIZES)), min_size=1, unique=True).map(
        lambda names: tuple(Layer(name, SIZES[name]) for name in names)
    ),
    min_size=1,
)


@st.composite
def stocks(draw: st.DrawFn) -> tuple[dict[str, tuple[Layer, ...]], list[Candidate]]:
    images = draw(IMAGES)
    ours = draw(st.sets(st.sampled_from(sorted(images))))
    times, yes = st.floats(0, 2 * NOW), st.booleans()
    return images, [Candidate(one, draw(times), draw(yes), draw(yes)) for one in sorted(ours)]


@given(stocks(), st.integers(0, 600))
def test_no_more_goes_than_is_needed_and_nothing_that_must_stay(inventory, need) -> None:
    images, candidates = inventory
    chosen = to_free(candidates, images, need, NOW)
    ours = {one.id: one for one in candidates}
    assert len(set(chosen)) == len(chosen)
    assert not any(ours[one].held or ours[one].last_used >= NOW for one in chosen)
    if chosen:
        assert freed(images, chosen[:-1]) < need
    if freed(images, chosen) < need:
        assert set(chosen) == {one.id for one in candidates if not one.held and one.last_used < NOW}


@given(stocks(), st.integers(0, 600))
def test_the_least_recently_used_go_first_and_those_of_the_registry_last(inventory, need) -> None:
    images, candidates = inventory
    ours = {one.id: one for one in candidates}
    ranks = [(ours[one].listed, ours[one].last_used) for one in to_free(candidates, images, need, NOW)]
    assert ranks == sorted(ranks)


@given(stocks())
def test_only_what_nothing_uses_is_unneeded(inventory) -> None:
    _, candidates = inventory
    ours = {one.id: one for one in candidates}
    chosen = unneeded(candidates, NOW)
    assert not any(ours[one].held or ours[one].listed or ours[one].last_used >= NOW for one in chosen)
    assert [ours[one].last_used for one in chosen] == sorted(ours[one].last_used for one in chosen)


@given(stocks())
def test_what_is_said_of_each_image_adds_up_to_what_is_freed(inventory) -> None:
    images, candidates = inventory
    chosen = [one.id for one in candidates]
    rest = [one for one in images if one not in chosen]
    assert sum(size for _, size in steps(images, chosen)) == freed(images, chosen)
    assert freed(images, chosen) == weight(images, list(images)) - weight(images, rest)


def test_of_several_builds_of_a_space_the_last_used_is_the_present_one() -> None:
    built = {"mood": {"old", "new"}, "gone": {"left"}}
    used = {"old": 1.0, "new": 2.0, "left": 3.0}
    assert current({"mood": None, "ocr": "pulled", "bare": None}, built, used) == {"new", "pulled"}


def test_the_layers_of_a_built_image_are_found_among_its_history() -> None:
    history = [
        {"Size": 0, "CreatedBy": '/bin/sh -c #(nop)  CMD ["python" "app.py"]'},
        {"Size": 7, "CreatedBy": "/bin/sh -c pip install gradio"},
        {"Size": 0, "CreatedBy": "/bin/sh -c #(nop) WORKDIR /home/user/app"},
        {"Size": 0, "CreatedBy": "/bin/sh -c #(nop)  ENV A=1"},
        {"Size": 100, "CreatedBy": ""},
    ]
    assert [layer.size for layer in layers_of(["a", "b", "c"], history)] == [100, 0, 7]


def test_buildkit_writes_history_in_its_own_words() -> None:
    history = [
        {"Size": 0, "CreatedBy": 'CMD ["python" "app.py"]'},
        {"Size": 0, "CreatedBy": "RUN /bin/sh -c true # buildkit"},
        {"Size": 5, "CreatedBy": "COPY . . # buildkit"},
    ]
    assert [layer.size for layer in layers_of(["a", "b"], history)] == [5, 0]


def test_a_history_that_cannot_be_read_counts_for_the_image_as_a_whole() -> None:
    history = [{"Size": 5, "CreatedBy": "x"}, {"Size": 6, "CreatedBy": "y"}, {"Size": 7, "CreatedBy": "z"}]
    assert [layer.size for layer in layers_of(["a", "b"], history)] == [0, 18]
    assert layers_of([], history) == ()


def test_the_same_layer_on_another_base_is_another() -> None:
    one, two = layers_of(["a", "c"], []), layers_of(["b", "c"], [])
    assert one[1].chain != two[1].chain
