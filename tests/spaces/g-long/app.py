import time

import gradio as gr

counts = {"stream": 0, "work": 0}


def stream(word):
    for number in range(1, 1201):
        counts["stream"] += 1
        yield f"{word} {number}"
        time.sleep(0.1)


def work(word):
    for _ in range(1200):
        counts["work"] += 1
        time.sleep(0.1)
    return f"{word} is done"


def beats():
    return dict(counts)


with gr.Blocks() as demo:
    word = gr.Textbox(label="Word")
    spoken = gr.Textbox(label="Spoken")
    counted = gr.JSON(label="Beats")
    gr.Button("Stream").click(stream, word, spoken, api_name="stream")
    gr.Button("Work").click(work, word, spoken, api_name="work")
    gr.Button("Beats").click(beats, None, counted, api_name="beats", queue=False)

demo.queue().launch()
