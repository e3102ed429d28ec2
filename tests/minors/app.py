"""The app that every Gradio is tried with: `python app.py PORT` answers a text, a picture and a file."""

import sys

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

app.queue().launch(server_name="127.0.0.1", server_port=int(sys.argv[1]))
