import gradio as gr


def toggle(shown):
    return not shown, gr.update(visible=not shown)


def clear():
    return "", ""


def infer(prompt, separator, total):
    counts = [len(line.split()) for line in prompt.split("/")]
    text = separator.join(map(str, counts))
    return f"{text} = {sum(counts)}" if total else text


with gr.Blocks(title="Haiku counter") as demo:
    gr.Markdown("# Haiku counter\nWrite a poem, with a slash between its lines.")
    shown = gr.State(False)
    with gr.Row():
        options_button = gr.Button("Options")
        clear_button = gr.Button("Clear")
    with gr.Column(visible=False) as panel:
        separator = gr.Dropdown(["-", "+", ", "], value="-", label="Separator")
        total = gr.Checkbox(value=False, label="Show the total")
    prompt = gr.Textbox(label="Poem", lines=3)
    counted = gr.Textbox(label="Counts")
    length = gr.Textbox(label="Length")
    run_button = gr.Button("Count", variant="primary")

    options_button.click(toggle, shown, [shown, panel], api_name="toggle")
    clear_button.click(clear, None, [prompt, counted], api_name="clear")
    prompt.change(lambda text: f"{len(text)} characters", prompt, length)
    run_button.click(infer, [prompt, separator, total], counted, api_name="infer")
    prompt.submit(infer, [prompt, separator, total], counted, api_name="infer")

demo.launch()
