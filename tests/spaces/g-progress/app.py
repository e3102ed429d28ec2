import time

import gradio as gr


def read(text, progress=gr.Progress()):
    progress(0, desc="Opening the book")
    vowels = 0
    for letter in progress.tqdm(text, desc="Reading"):
        time.sleep(0.02)
        vowels += letter.lower() in "aeiou"
    return f"{vowels} vowels"


demo = gr.Interface(read, gr.Textbox(label="Text"), gr.Textbox(label="Vowels"))

demo.queue().launch()
