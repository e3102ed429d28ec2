import time

import gradio as gr

STEP = 64 * 1024 * 1024
PAGE = 4096


def predict(text):
    kept = []
    while True:
        block = bytearray(STEP)
        # Memory counts only once a page has been written to.
        block[::PAGE] = b"x" * (STEP // PAGE)
        kept.append(block)
        print(f"{len(kept) * 64} MB", flush=True)
        time.sleep(0.02)


gr.Interface(fn=predict, inputs="text", outputs="text", api_name="predict").launch()
