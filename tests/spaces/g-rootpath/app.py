import os
import tempfile

import gradio as gr


def save(text):
    path = os.path.join(tempfile.mkdtemp(), "note.txt")
    with open(path, "w") as note:
        note.write(text)
    return path, f"{len(text)} characters"


demo = gr.Interface(save, gr.Textbox(label="Text"), [gr.File(label="Note"), gr.Textbox(label="Length")])

demo.launch(root_path="/proxy/7860")
