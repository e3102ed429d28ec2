import tempfile
from pathlib import Path

import gradio as gr


def shout(file):
    if file is None:
        raise gr.Error("Please choose a text file first.")
    source = Path(file)
    target = Path(tempfile.mkdtemp()) / f"{source.stem}.loud{source.suffix}"
    target.write_text(source.read_text(encoding="utf-8", errors="replace").upper(), encoding="utf-8")
    return str(target)


with gr.Blocks() as demo:
    gr.Markdown("# Shout a file\nA text file in, the same file in capitals out.")
    source = gr.File(label="Text file", type="filepath")
    target = gr.File(label="Louder file")
    gr.Button("Shout").click(shout, source, target)

demo.launch()
