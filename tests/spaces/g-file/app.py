import os
import tempfile

import gradio as gr


def number_lines(file):
    name = os.path.basename(file.name)
    target = os.path.join(tempfile.mkdtemp(), f"numbered-{name}")
    with open(file.name) as source, open(target, "w") as out:
        for number, line in enumerate(source, start=1):
            out.write(f"{number}: {line}")
    return target


demo = gr.Interface(number_lines, gr.File(label="Text file"), gr.File(label="Numbered"))

demo.launch()
