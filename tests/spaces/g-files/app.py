import os
import tempfile

import gradio as gr


def capitals(files, prefix):
    folder = tempfile.mkdtemp()
    made = []
    for file in files:
        made.append(os.path.join(folder, prefix + os.path.basename(file.name)))
        with open(file.name) as source, open(made[-1], "w") as target:
            target.write(source.read().upper())
    return made, f"{len(made)} files"


with gr.Blocks() as demo:
    files = gr.File(label="Files", file_count="multiple")
    prefix = gr.Textbox(label="Prefix", value="loud-")
    made = gr.File(label="Copies", file_count="multiple")
    report = gr.Textbox(label="Report")
    gr.Button("Copy").click(capitals, [files, prefix], [made, report], api_name="capitals")

demo.launch()
