import gradio as gr

WORDS = {
    "English": ["hello", "world", "ship"],
    "French": ["bonjour", "monde", "navire"],
    "German": ["hallo", "welt", "schiff"],
}


def translate(text, source, target):
    known = dict(zip(WORDS[source], WORDS[target]))
    return " ".join(known.get(word.lower(), word) for word in text.split())


with gr.Blocks() as demo:
    gr.Markdown("# Phrase book")
    with gr.Row():
        source = gr.Dropdown(list(WORDS), value="English", label="Source language")
        target = gr.Dropdown(list(WORDS), value="French", label="Target language")
    text = gr.Textbox(label="Text to translate", lines=4)
    translation = gr.Textbox(label="Translation", lines=4)
    swap_button = gr.Button("Swap languages")
    translate_button = gr.Button("Translate", variant="primary")

    swap_button.click(lambda a, b: (b, a), [source, target], [source, target])
    translate_button.click(translate, [text, source, target], translation)

demo.launch()
