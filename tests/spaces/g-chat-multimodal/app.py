from pathlib import Path

import gradio as gr


def answer(message, history):
    words = len(message["text"].split())
    files = [f if isinstance(f, str) else f["path"] for f in message["files"]]
    sizes = ", ".join(f"{Path(f).name} ({Path(f).stat().st_size} bytes)" for f in files)
    return f"{words} words and {sizes or 'no file'}"


demo = gr.ChatInterface(answer, multimodal=True, title="Chat about files")

demo.launch()
