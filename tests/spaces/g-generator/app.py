import time

import gradio as gr


def type_out(text):
    written = ""
    for word in text.split():
        time.sleep(0.1)
        written = f"{written} {word}".strip()
        yield written


with gr.Blocks() as demo:
    text = gr.Textbox(label="Text")
    paper = gr.Textbox(label="Paper")
    gr.Button("Type").click(type_out, text, paper)

demo.queue().launch()
