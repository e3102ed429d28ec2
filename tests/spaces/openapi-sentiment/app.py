from enum import Enum

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI(title="Sentiment")

WORDS = {
    "en": ({"good", "great", "lovely", "glad"}, {"bad", "awful", "sad"}),
    "de": ({"gut", "froh", "schön"}, {"schlecht", "traurig"}),
}


class Language(str, Enum):
    en = "en"
    de = "de"


class Request(BaseModel):
    text: str
    language: Language = Language.en


class Answer(BaseModel):
    label: str
    score: float


@app.get("/")
def about():
    return {"name": "Sentiment", "docs": "/docs"}


@app.get("/health")
def health(verbose: bool = False):
    return {"status": "ok"}


@app.post("/predict")
def predict(request: Request) -> Answer:
    if not request.text.strip():
        raise HTTPException(400, "text is empty")
    if request.text == "break":
        raise RuntimeError("a fault of the app's own")
    glad, sad = WORDS[request.language.value]
    words = request.text.lower().split()
    score = sum(word in glad for word in words) - sum(word in sad for word in words)
    return Answer(label="glad" if score >= 0 else "sad", score=score)


@app.get("/words/{word}")
def lookup(word: str, language: Language = Language.en):
    glad, sad = WORDS[language.value]
    if word not in glad | sad:
        raise HTTPException(404, f"the word {word} is not known")
    return {"word": word, "label": "glad" if word in glad else "sad"}
