import gradio as gr
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

analyzer = SentimentIntensityAnalyzer()


def analyze(text):
    scores = analyzer.polarity_scores(text)
    # The thresholds are the ones that VADER's authors recommend.
    if scores["compound"] >= 0.05:
        label = "positive"
    elif scores["compound"] <= -0.05:
        label = "negative"
    else:
        label = "neutral"
    return f"{label} ({scores['compound']:+.2f})"


demo = gr.Interface(
    fn=analyze,
    inputs=gr.Textbox(label="Text", lines=3, placeholder="How do you feel about it?"),
    outputs=gr.Textbox(label="Sentiment"),
    title="Sentiment",
    examples=["I love this!", "This is the worst film I have ever seen.", "The train leaves at nine."],
    api_name="analyze",
)

if __name__ == "__main__":
    demo.launch()
