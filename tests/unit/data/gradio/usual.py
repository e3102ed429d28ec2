"""A page as people write them: a toggle first, one function bound twice, a lambda, a state."""

import gradio as gr


def toggle(shown):
    return gr.update(visible=shown)


def infer(prompt, negative, seed):
    return f"{prompt}, not {negative}, {seed}"


def with_state(text, state):
    return text, state


def chat(message, history):
    return f"{message} {len(history or [])}", history


with gr.Blocks() as demo:
    advanced = gr.Checkbox(label="Advanced")
    prompt = gr.Textbox(label="Prompt")
    negative = gr.Textbox(label="Negative prompt")
    seed = gr.Slider(0, 9, 3, label="Seed")
    result = gr.Textbox(label="Result")
    state = gr.State()
    advanced.change(toggle, advanced, negative)
    gr.Button("Run").click(infer, [prompt, negative, seed], result)
    prompt.submit(infer, [prompt, negative, seed], result)
    gr.Button("Clear").click(lambda text: "", prompt, prompt)
    gr.Button("Remember").click(with_state, [prompt, state], [result, state])
    gr.Button("Chat").click(chat, [prompt, state], [result, state])

demo.launch()
