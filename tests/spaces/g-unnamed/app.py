import gradio as gr


def letters(text):
    return sorted(c for c in text.lower() if c.isalpha())


def check(first, second):
    return "an anagram" if letters(first) == letters(second) else "not an anagram"


def swap(first, second):
    return second, first


with gr.Blocks() as demo:
    gr.Markdown("# Anagram check")
    first = gr.Textbox(label="Text")
    second = gr.Textbox(label="Other text", value="listen")
    verdict = gr.Textbox(label="Verdict")
    with gr.Row():
        swap_button = gr.Button("Swap")
        check_button = gr.Button("Check", variant="primary")

    swap_button.click(swap, [first, second], [first, second])
    check_button.click(check, [first, second], verdict)

demo.launch()
