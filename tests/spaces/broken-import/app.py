import os

import gradio as gr

MODEL = os.environ["COFFEE_MODEL_PATH"]


def predict(text):
    return f"{MODEL}: {text}"


gr.Interface(fn=predict, inputs="text", outputs="text").launch()
