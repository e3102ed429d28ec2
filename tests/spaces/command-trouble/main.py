import os
import subprocess
import sys
import time
from pathlib import Path

OUTPUT = Path("/workspace/output")


def fail():
    print("half of an answer")
    print("Traceback: no model here", file=sys.stderr)
    sys.exit(3)


def talk():
    sys.stdout.write("yes\n" * 100_000)
    sys.stderr.write("no\n" * 100_000)


def babble():
    while True:
        sys.stdout.write("yes\n" * 10_000)


def huge_file():
    with open(OUTPUT / "huge.bin", "wb") as file:
        file.truncate(10 * 2**30)


def huge_text():
    with open("/workspace/output.txt", "wb") as file:
        file.write(b"begins")
        file.truncate(10 * 2**30)


def odd_files():
    os.symlink("/etc/passwd", OUTPUT / "passwd")
    os.symlink("/etc", OUTPUT / "etc")
    os.mkfifo(OUTPUT / "pipe")
    (OUTPUT / "deep" / "er").mkdir(parents=True)
    (OUTPUT / "deep" / "er" / "plain.txt").write_text("plain")
    (OUTPUT / ("long" * 60 + ".txt")).write_text("long")
    (OUTPUT / "ä\\b.txt").write_text("odd")
    os.remove("/workspace/output.txt")
    os.symlink("/etc/passwd", "/workspace/output.txt")


def swap_folder():
    OUTPUT.rmdir()
    os.symlink("/etc", OUTPUT)


def many_files():
    for number in range(30):
        (OUTPUT / f"{number}.txt").write_text("small")


def ignore_stdin():
    print("did not listen")


def close_stdin():
    os.close(0)
    time.sleep(0.5)
    print("did not listen")


def sleep():
    time.sleep(600)


def eat_memory():
    print("hungry", file=sys.stderr, flush=True)
    kept = []
    while True:
        kept.append(b"x" * 2**20)


def leave_a_child():
    subprocess.Popen(["sleep", "600"])
    print("done, my child is not")


def close_stdout():
    print("said early", flush=True)
    os.close(1)
    os.close(2)
    time.sleep(0.5)
    Path("/workspace/output.txt").write_text("written late")
    os._exit(0)


if __name__ == "__main__":
    with open("/workspace/input.txt") as prompt:
        name = prompt.readline().strip()
    globals()[name]()
