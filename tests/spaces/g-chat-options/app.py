import gradio as gr


def answer(message, history, system_prompt, temperature, max_tokens):
    mood = "calm" if temperature < 1 else "wild"
    words = f"{system_prompt} ({mood}): {message[::-1]}".split()
    text = ""
    for word in words[: int(max_tokens)]:
        text = f"{text} {word}".strip()
        yield text


demo = gr.ChatInterface(
    answer,
    title="Chat with a character",
    additional_inputs=[
        gr.Textbox("A parrot", label="System prompt"),
        gr.Slider(0.0, 2.0, value=0.7, step=0.1, label="Temperature"),
        gr.Slider(1, 100, value=50, step=1, label="Max new tokens"),
    ],
)

demo.queue().launch()
