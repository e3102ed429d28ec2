import math

import gradio as gr


def root(text):
    if not text.strip():
        raise gr.Error("Please enter a number.")
    number = float(text)
    if number < 0:
        raise gr.Error(f"{text} has no real square root.")
    return math.sqrt(number)


demo = gr.Interface(root, gr.Textbox(label="Number"), gr.Number(label="Square root"))

demo.launch()
