import os
import shutil
import tempfile

import gradio as gr


def copy(video):
    target = os.path.join(tempfile.mkdtemp(), "copy.mp4")
    shutil.copy(video, target)
    return target, f"{os.path.getsize(video)} bytes"


demo = gr.Interface(
    copy,
    gr.Video(label="Video"),
    [gr.Video(label="Copy"), gr.Textbox(label="Size")],
    title="Video copy",
)

demo.launch()
