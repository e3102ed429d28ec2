import gradio as gr

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def caesar(text, shift):
    turned = ALPHABET[int(shift) % 26 :] + ALPHABET[: int(shift) % 26]
    return text.lower().translate(str.maketrans(ALPHABET, turned))


with gr.Blocks() as demo:
    text = gr.Textbox(label="Text")
    shift = gr.Slider(0, 25, value=3, step=1, label="Shift")
    secret = gr.Textbox(label="Secret")
    gr.Button("Encrypt").click(caesar, [text, shift], secret)
    gr.Examples([["veni", 3], ["vidi", 5]], [text, shift], secret, caesar, cache_examples=True)
    gr.Examples(["vici", "alea iacta est"], text)

demo.launch()
