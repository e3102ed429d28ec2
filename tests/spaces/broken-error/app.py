import gradio as gr


def predict(text):
    raise gr.Error("The model is out of coffee")


gr.Interface(fn=predict, inputs="text", outputs="text", api_name="predict").launch()
