import gradio as gr
import numpy as np
import soundfile
from pocketsphinx import Decoder

SAMPLE_RATE = 16000


def load(path):
    """Any sound file as mono, 16 kHz, 16 bit."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        wanted = int(len(samples) * SAMPLE_RATE / rate)
        times = np.linspace(0, len(samples) - 1, wanted)
        samples = np.interp(times, np.arange(len(samples)), samples)
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()


def transcribe(audio):
    if audio is None:
        raise gr.Error("Please record or upload something first.")
    decoder = Decoder(samprate=SAMPLE_RATE)
    decoder.start_utt()
    decoder.process_raw(load(audio), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


demo = gr.Interface(
    fn=transcribe,
    inputs=gr.Audio(type="filepath", label="Speech"),
    outputs=gr.Textbox(label="Transcript"),
    title="Transcribe",
    description="English speech to text with PocketSphinx, on a CPU.",
    flagging_mode="never",
)

demo.launch()
