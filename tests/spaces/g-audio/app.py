import wave

import gradio as gr
import numpy as np

RATE = 8000


def measure(sound):
    with wave.open(sound) as audio:
        seconds = audio.getnframes() / audio.getframerate()
        return round(seconds, 2), f"{audio.getframerate()} Hz"


def play(text):
    """A tenth of a second for each letter."""
    moments = np.arange(RATE // 10) / RATE
    tones = [np.sin(2 * np.pi * (200 + 10 * (ord(letter) % 64)) * moments) for letter in text]
    return RATE, (np.concatenate(tones) * 9000).astype(np.int16)


with gr.Blocks() as demo:
    with gr.Tab("Measure"):
        sound = gr.Audio(type="filepath", label="Sound")
        seconds = gr.Number(label="Seconds")
        rate = gr.Textbox(label="Rate")
        gr.Button("Measure").click(measure, sound, [seconds, rate], api_name="measure")
    with gr.Tab("Play"):
        text = gr.Textbox(label="Text")
        tones = gr.Audio(label="Tones")
        gr.Button("Play").click(play, text, tones, api_name="play")

demo.launch()
