import time

import gradio as gr


def think(text):
    time.sleep(1)
    return f"After some thought: {text}"


demo = gr.Interface(think, gr.Textbox(label="Text"), gr.Textbox(label="Thought"))

demo.queue(max_size=1).launch()
