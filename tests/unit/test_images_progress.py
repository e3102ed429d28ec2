"""What is said while an image is pulled or built."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from spacedock_worker.images.build.build import failed
from spacedock_worker.images.oci.manifest import ImageManifest
from spacedock_worker.images.progress import PullProgress, build_progress

A, B, C = "a" * 12, "b" * 12, "c" * 12


def item(layer: str, status: str, current: int = 0, total: int = 0) -> dict[str, object]:
    return {"id": layer, "status": status, "progressDetail": {"current": current, "total": total}}


def known(**sizes: int) -> ImageManifest:
    return ImageManifest({f"sha256:{name * 64}": size for name, size in sizes.items()})


def test_a_known_image_is_told_in_bytes_and_layers() -> None:
    progress = PullProgress("x:1", known(a=600_000_000, b=600_000_000))
    assert progress.read(item("latest", "Pulling from x")) is None
    assert not progress.begun
    assert progress.read(item(A, "Already exists")) == "pulling x:1 50% of 1.2 GB, 1 of 2 layers"
    assert progress.begun
    assert (
        progress.read(item(B, "Downloading", 300_000_000, 600_000_000))
        == "pulling x:1 75% of 1.2 GB, 1 of 2 layers"
    )
    assert progress.read(item(B, "Download complete")) == (
        "pulling x:1 100% of 1.2 GB, 1 of 2 layers, unpacking"
    )
    assert progress.read(item(B, "Extracting", 5, 900_000_000)) is None
    assert progress.read(item(B, "Pull complete")) == "pulling x:1 100% of 1.2 GB, 2 of 2 layers"


def test_an_image_whose_layers_are_never_said_to_be_unpacked_is_told_to_be_there_at_the_end() -> None:
    progress = PullProgress("x:1", known(a=600_000_000))
    assert progress.done() is None
    progress.read(item(A, "Downloading", 300_000_000, 600_000_000))
    assert progress.read(item(A, "Download complete")) == (
        "pulling x:1 100% of 600.0 MB, 0 of 1 layers, unpacking"
    )
    assert progress.done() == "pulling x:1 100% of 600.0 MB, 1 of 1 layers"
    assert progress.done() is None


def test_an_unknown_image_is_told_as_its_layers_become_known() -> None:
    progress = PullProgress("x:1")
    progress.read(item(A, "Pulling fs layer"))
    progress.read(item(B, "Pulling fs layer"))
    assert progress.read(item(A, "Downloading", 50, 100)) == "pulling x:1 50%, 0 of 2 layers"
    assert progress.read(item(B, "Downloading", 0, 100)) is None


def test_a_second_attempt_does_not_go_back() -> None:
    progress = PullProgress("x:1", known(a=100, b=100))
    progress.read(item(A, "Pull complete"))
    assert progress.read(item(B, "Downloading", 90, 100)) is not None
    assert progress.read(item(A, "Already exists")) is None
    assert progress.read(item(B, "Downloading", 10, 100)) is None


def test_a_layer_that_goes_on_after_a_break_counts_from_there() -> None:
    progress = PullProgress("x:1", known(a=100))
    assert progress.read(item(A, "Downloading", 40, 100)) == "pulling x:1 40% of 100 bytes, 0 of 1 layers"
    # What engines say when the connection breaks, and then of the rest.
    assert progress.read(item(A, "Downloading", 100, 100)) is None
    assert progress.read(item(A, "Retrying in 5 seconds")) is None
    assert progress.read(item(A, "Downloading", 6, 60)) == "pulling x:1 46% of 100 bytes, 0 of 1 layers"


STATUSES = ["Pulling fs layer", "Waiting", "Downloading", "Download complete", "Extracting", "Pull complete"]


@given(
    items=st.lists(
        st.builds(
            item,
            st.sampled_from([A, B, C, "latest"]),
            st.sampled_from([*STATUSES, "Already exists", "Retrying in 5 seconds"]),
            st.integers(-5, 300),
            st.integers(-5, 300),
        )
    ),
    manifest=st.none() | st.just(known(a=100, b=1)),
)
def test_whatever_the_engine_says_progress_never_goes_back(items, manifest) -> None:
    progress = PullProgress("x:1", manifest)
    texts = [text for one in items if (text := progress.read(one))]
    found = [re.search(r"(\d+)%.*, (\d+) of (\d+) layers", text) for text in texts]
    said = [tuple(map(int, match.groups())) for match in found if match]
    assert len(said) == len(texts)
    for number in range(2):
        assert [one[number] for one in said] == sorted(one[number] for one in said)
    assert all(0 <= percent <= 100 and there <= layers for percent, there, layers in said)


def test_build_progress_names_the_step() -> None:
    assert build_progress("Step 2/3 : RUN a\n", ["taking", "installing"]) == "step 2/3: installing"
    assert build_progress("Step 3/3 : LABEL a=b\n", ["taking", "installing"]) == "step 3/3: LABEL a=b"
    assert build_progress("Step 4/4 : LABEL io.spacedock.space=mood\n", ["taking"]) is None
    assert build_progress(" ---> Running in 1\n", []) is None


def test_a_certificate_that_is_not_trusted_is_no_fault_of_the_space() -> None:
    said = ["SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"]
    told = str(failed("tag", said, "it ended with 1"))
    assert told.startswith("tag cannot be built: it does not trust the certificate")
    assert "`ca_bundle`" in told
    assert "requirements.txt" in str(failed("tag", ["no such package"], "it ended with 1"))
