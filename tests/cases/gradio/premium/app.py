import gradio as gr


def premium(age, sex, smoker):
    return f"{sex}, {int(age)}: {int(age) * (2 if smoker else 1)}"


inputs = [gr.Number(label="Age"), gr.Dropdown(["female", "male"], label="Sex"), gr.Checkbox(label="Smoker")]
gr.Interface(premium, inputs, "text", api_name="premium").launch()
