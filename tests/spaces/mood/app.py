import gradio as gr
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

analyzer = SentimentIntensityAnalyzer()


def mood(message):
    scores = analyzer.polarity_scores(message)
    parts = {"positive": scores["pos"], "neutral": scores["neu"], "negative": scores["neg"]}
    return {"mood": max(("positive", "negative"), key=parts.get) if scores["compound"] else "neutral", **scores}


with gr.Blocks(title="Mood") as demo:
    gr.Markdown("# What is the mood of a message?")
    message = gr.Textbox(label="Message", lines=4)
    button = gr.Button("Tell me", variant="primary")
    result = gr.JSON(label="Mood")
    button.click(mood, inputs=message, outputs=result, api_name="mood")

demo.launch()
