"""Where an app listens instead, by the tables that its kernel gives."""

from __future__ import annotations

import pytest

from spacedock_worker.containers.docker.diagnosis import Listener, read, where
from spacedock_worker.control.logs import is_of

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:A5C1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 100 0 0 10 0
   2: 0100007F:1EB4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 100 0 0 10 0
   3: 0200001E:1EB4 0100001E:C001 01 00000000:00000000 00:00000000 00000000  1000        0 4 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:1EB4 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000
   junk 0A:zz x 0A
   1: 00:1 x 0A
"""


def test_the_kernels_tables_are_read_without_dockers_name_server() -> None:
    assert read(TABLE) == (
        Listener("127.0.0.1", 7860),
        Listener("::1", 7860),
        Listener("0.0.0.0", 8080),
        Listener("::", 8081),
        Listener("127.0.0.1", 8082),
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, ""),
        ((), "Nothing in it listens"),
        ((Listener("127.0.0.1", 7860),), "It listens on 127.0.0.1:7860 alone: have it listen on 0.0.0.0"),
        (
            (Listener("127.0.0.1", 7860), Listener("::", 7860)),
            "gives no answer there that can be called. If its app is below a path",
        ),
        ((Listener("127.0.0.1", 80),), "127.0.0.1:80 instead of port 7860: have it listen on 0.0.0.0:7860"),
        ((Listener("0.0.0.0", 8080),), "0.0.0.0:8080 instead of port 7860: have it use 7860, or give"),
        ((Listener("0.0.0.0", 8080),), "--port 8080"),
    ],
)
def test_an_app_that_does_not_answer_says_where_it_listens(
    found: tuple[Listener, ...] | None, said: str
) -> None:
    assert said in where(found, 7860)


@pytest.mark.parametrize(
    ("space", "name", "same"),
    [
        ("mood", "mood", True),
        ("mood2", "mood", False),
        ("./mood@0123", "./mood", True),
        ("./mood2@0123", "./mood", False),
        ("./mood@0123", "mood", False),
    ],
)
def test_a_log_is_that_of_the_named_space_alone(space: str, name: str, same: bool) -> None:
    assert is_of(space, name) is same
