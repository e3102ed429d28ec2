import re

import gradio as gr
from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence
from sumy.nlp.stemmers import Stemmer
from sumy.summarizers.lex_rank import LexRankSummarizer
from sumy.utils import get_stop_words

LANGUAGE = "english"


class Words:
    """Splits English text by its punctuation, so that no NLTK data is needed."""

    def to_sentences(self, text):
        return re.split(r"(?<=[.!?])\s+(?=[A-Z\"'(])", text.strip())

    def to_words(self, sentence):
        return re.findall(r"[A-Za-z][A-Za-z'-]*", sentence)


def summarise(text, sentences):
    words = Words()
    paragraphs = [
        Paragraph([Sentence(sentence, words) for sentence in words.to_sentences(block)])
        for block in re.split(r"\n\s*\n", text)
        if block.strip()
    ]
    summarizer = LexRankSummarizer(Stemmer(LANGUAGE))
    summarizer.stop_words = get_stop_words(LANGUAGE)
    chosen = summarizer(ObjectDocumentModel(paragraphs), int(sentences))
    return " ".join(str(sentence) for sentence in chosen)


demo = gr.Interface(
    fn=summarise,
    inputs=[
        gr.Textbox(label="Text", lines=12),
        gr.Slider(1, 10, value=2, step=1, label="Sentences"),
    ],
    outputs=gr.Textbox(label="Summary", lines=5),
    title="Summarise",
    description="The most telling sentences of a text, by LexRank.",
    api_name="summarise",
)

if __name__ == "__main__":
    demo.queue(max_size=20).launch()
