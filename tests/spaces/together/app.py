"""Serves each folder of `spaces/` as if it were alone: a process and a port of its own."""

import gc
import os
import runpy
import socket
import sys
import time
from pathlib import Path

import gradio
import uvicorn
from gradio.queueing import Queue

FIRST_PORT = 7860


def on_port(start, option, port):
    """`start`, on that port whatever the app says."""

    def started(*args, **options):
        return start(*args, **{**options, option: port})

    return started


def unhurried(process):
    """`process`, the loop of a queue: Gradio 6's looks for calls every millisecond, which takes 3% of a core."""

    async def processing(queue):
        queue.sleep_when_free = 0.02
        await process(queue)

    return processing


def serve(folder, port):
    """Run a Space's app as its own program would."""
    Queue.start_processing = unhurried(Queue.start_processing)
    gradio.Blocks.launch = on_port(gradio.Blocks.launch, "server_port", port)
    uvicorn.run = on_port(uvicorn.run, "port", port)
    os.chdir(folder)
    sys.argv, sys.path[0] = ["app.py"], str(folder)
    runpy.run_path("app.py", run_name="__main__")


def start(folder, port):
    """Have a process of its own serve the folder, and wait until it does."""
    if os.fork() == 0:
        serve(folder, port)
        sys.exit("an app has ended")
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)


# What all have in common stays shared memory.
gc.freeze()
folders = list(enumerate(sorted(Path("spaces").resolve().iterdir()), FIRST_PORT))
# The first port is the container's: where it answers, all do.
for port, folder in reversed(folders):
    start(folder, port)
os.wait()
sys.exit("an app has ended")
