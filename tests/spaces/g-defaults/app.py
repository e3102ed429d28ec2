import gradio as gr

OPENINGS = {"warm": "Dear {name}", "brief": "{name}", "solemn": "Most honoured {name}"}


def invite(name, place, guests, tone, meal, formal, hour, extras):
    opening = OPENINGS[tone].format(name=name)
    verb = "request the pleasure of your company" if formal else "would love to see you"
    text = f"{opening}: we {verb} at {place} for {meal} at {int(hour)}:00, with {int(guests)} guests."
    if extras:
        text += f" Bring {' and '.join(extras)}."
    return text


demo = gr.Interface(
    fn=invite,
    inputs=[
        gr.Textbox(label="Name", placeholder="Who is invited?"),
        gr.Textbox(label="Place", value="the dock"),
        gr.Slider(1, 50, value=12, step=1, label="Guests"),
        gr.Dropdown(["warm", "brief", "solemn"], value="warm", label="Tone"),
        gr.Radio(["lunch", "dinner"], value="dinner", label="Meal"),
        gr.Checkbox(value=False, label="Formal"),
        gr.Number(value=19, label="Hour"),
        gr.CheckboxGroup(["music", "flowers", "cake"], value=["cake"], label="Extras"),
    ],
    outputs=gr.Textbox(label="Invitation"),
    title="Invitation writer",
)

demo.launch()
