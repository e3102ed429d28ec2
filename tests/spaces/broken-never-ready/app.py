import time

import gradio as gr


def load_model():
    while True:
        print("Loading the model ...", flush=True)
        time.sleep(5)


model = load_model()


def predict(text):
    return model(text)


gr.Interface(fn=predict, inputs="text", outputs="text").launch()
