"""The app that every Gradio is tried with: `python app.py PORT` answers a text, a picture and a file.

Gradio looks at its own page once it serves, and ends where that fails: "launched" is there when it has not.
"""

import sys
from pathlib import Path

import gradio as gr


def shout(text):
    return text.upper()


def size(picture):
    return f"{picture.shape[1]}x{picture.shape[0]}"


def count(file):
    path = file if isinstance(file, str) else file.name
    with open(path, "rb") as content:
        return f"{len(content.read())} bytes"


with gr.Blocks() as app:
    for call, taken in ((shout, gr.Textbox()), (size, gr.Image()), (count, gr.File())):
        said = gr.Textbox()
        gr.Button(call.__name__).click(call, taken, said, api_name=call.__name__)

app.queue().launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), prevent_thread_lock=True)
Path("launched").touch()
app.block_thread()
