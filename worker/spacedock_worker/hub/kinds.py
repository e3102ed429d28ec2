"""The kinds of work that Spaces do, as the Hub names them: a table for people to read and to mend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CATEGORIES = (
    "image_processing",
    "audio_processing",
    "text_processing",
    "nlp",
    "multimodal",
    "computer_vision",
    "specialized",
)
"""The registry's categories, in the order of the document that they come from."""

UNKNOWN = "unknown"
"""The input or output type of a Space of which nothing says it."""

_IMAGES, _AUDIO, _TEXT, _NLP, _MANY, _VISION, _SPECIAL = CATEGORIES


class WorkKind(NamedTuple):
    """One kind of work: where it belongs, what it takes and gives, and the words that tell of it."""

    category: str
    takes: str
    gives: str
    words: tuple[str, ...]


# The keys are the Hub's pipeline tags (huggingface.co/tasks), and a few more of their sort that are no
# pipeline tags but that Spaces are tagged with. In `words` a word may end in * for any ending.
KINDS: Mapping[str, WorkKind] = {
    "text-to-image": WorkKind(
        _IMAGES, "text", "image", ("text to image", "stable diffusion", "sdxl", "image generat*", "flux")
    ),
    "image-to-text": WorkKind(_IMAGES, "image", "text", ("image to text", "caption*", "describe image*")),
    "image-to-image": WorkKind(
        _IMAGES,
        "image",
        "image",
        ("image to image", "style transfer", "colori*", "upscal*", "super resolution", "image edit*"),
    ),
    "background-removal": WorkKind(_IMAGES, "image", "image", ("background remov*", "remove background*")),
    "zero-shot-image-classification": WorkKind(
        _IMAGES, "text_and_image", "text", ("clip", "siglip", "zero shot image*")
    ),
    "image-feature-extraction": WorkKind(_IMAGES, "image", "json", ("image similarity", "image embedding*")),
    "unconditional-image-generation": WorkKind(_IMAGES, "text", "image", ("unconditional image*",)),
    "automatic-speech-recognition": WorkKind(
        _AUDIO, "audio", "text", ("speech to text", "speech recogni*", "transcri*", "whisper", "asr")
    ),
    "text-to-speech": WorkKind(_AUDIO, "text", "audio", ("text to speech", "tts", "speech synthes*")),
    "voice-cloning": WorkKind(
        _AUDIO, "text_and_audio", "audio", ("voice clon*", "clone voice*", "voice conversion", "xtts*")
    ),
    "audio-classification": WorkKind(
        _AUDIO,
        "audio",
        "text",
        ("audio classif*", "sound classif*", "keyword spotting", "music genre*", "classif* sound*", "yamnet"),
    ),
    "audio-to-audio": WorkKind(
        _AUDIO, "audio", "audio", ("audio to audio", "source separat*", "denois*", "speech enhanc*")
    ),
    "text-to-audio": WorkKind(
        _AUDIO, "text", "audio", ("text to audio", "music generat*", "sound generat*", "musicgen")
    ),
    "voice-activity-detection": WorkKind(_AUDIO, "audio", "json", ("voice activity", "diari*")),
    "text-classification": WorkKind(
        _TEXT, "text", "text", ("sentiment*", "text classif*", "emotion*", "toxic*", "spam")
    ),
    "summarization": WorkKind(_TEXT, "text", "text", ("summar*", "tldr")),
    "translation": WorkKind(_TEXT, "text", "text", ("translat*", "nllb")),
    "zero-shot-classification": WorkKind(_TEXT, "text", "text", ("zero shot classif*",)),
    "question-answering": WorkKind(_NLP, "text", "text", ("question answer*", "rag", "retrieval augmented")),
    "document-question-answering": WorkKind(
        _NLP,
        "text_and_image",
        "text",
        ("docvqa", "doc vqa", "document qa", "document question*", "chat with pdf*", "donut"),
    ),
    "table-question-answering": WorkKind(_NLP, "text_and_file", "text", ("table question*", "tapas")),
    "token-classification": WorkKind(_NLP, "text", "json", ("named entit*", "ner", "part of speech", "pii")),
    "text-generation": WorkKind(
        _NLP, "text", "text", ("text generat*", "chatbot*", "chat", "llm", "llama", "gpt", "language model*")
    ),
    "fill-mask": WorkKind(_NLP, "text", "text", ("fill mask", "masked language")),
    "sentence-similarity": WorkKind(
        _NLP, "text", "text", ("sentence similarity", "semantic search", "text similarity")
    ),
    "feature-extraction": WorkKind(_NLP, "text", "json", ("text embedding*", "sentence embedding*")),
    "text-ranking": WorkKind(_NLP, "text", "json", ("rerank*", "cross encoder")),
    "visual-question-answering": WorkKind(
        _MANY, "text_and_image", "text", ("visual question*", "vqa", "vilt")
    ),
    "image-text-to-text": WorkKind(
        _MANY,
        "text_and_image",
        "text",
        ("multimodal", "vision language", "vlm", "llava", "moondream", "chat with image*"),
    ),
    "video-text-to-text": WorkKind(_MANY, "text_and_video", "text", ("video question*", "video understand*")),
    "audio-text-to-text": WorkKind(_MANY, "text_and_audio", "text", ("audio question*", "audio chat")),
    "any-to-any": WorkKind(_MANY, "text_and_image_and_audio", "text", ("any to any", "omni")),
    "object-detection": WorkKind(
        _VISION, "image", "image", ("object detect*", "yolo*", "detr", "face detect*")
    ),
    "zero-shot-object-detection": WorkKind(
        _VISION, "text_and_image", "image", ("grounding dino", "owlvit", "open vocabulary")
    ),
    "image-classification": WorkKind(_VISION, "image", "text", ("image classif*", "resnet*", "vit")),
    "image-segmentation": WorkKind(_VISION, "image", "image", ("segment*", "segment anything")),
    "mask-generation": WorkKind(_VISION, "image", "image", ("mask generat*",)),
    "depth-estimation": WorkKind(_VISION, "image", "image", ("depth estimat*", "depth anything", "midas")),
    "keypoint-detection": WorkKind(_VISION, "image", "image", ("pose estimat*", "keypoint*")),
    "optical-character-recognition": WorkKind(
        _VISION, "image", "text", ("ocr", "text recogni*", "character recogni*", "trocr")
    ),
    "video-classification": WorkKind(_VISION, "video", "text", ("video classif*", "action recogni*")),
    "code-generation": WorkKind(
        _SPECIAL,
        "text",
        "text",
        ("code generat*", "generat* code", "write* code", "code complet*", "codegen", "coder", "starcoder"),
    ),
    "text-to-video": WorkKind(_SPECIAL, "text", "video", ("text to video", "video generat*")),
    "image-to-video": WorkKind(_SPECIAL, "image", "video", ("image to video", "animate image*")),
    "text-to-3d": WorkKind(_SPECIAL, "text", "file", ("text to 3d",)),
    "image-to-3d": WorkKind(_SPECIAL, "image", "file", ("image to 3d", "3d reconstruct*")),
    "time-series-forecasting": WorkKind(_SPECIAL, "file", "json", ("time series", "forecast*")),
    "tabular-classification": WorkKind(_SPECIAL, "file", "json", ("tabular",)),
    "tabular-regression": WorkKind(_SPECIAL, "file", "json", ("regression",)),
}

# What the Hub's own model says a Space is (`ai_category`), in lower case.
AI_CATEGORIES: Mapping[str, str] = {
    "image generation": "text-to-image",
    "image captioning": "image-to-text",
    "image editing": "image-to-image",
    "image upscaling": "image-to-image",
    "style transfer": "image-to-image",
    "background removal": "background-removal",
    "speech recognition": "automatic-speech-recognition",
    "speech synthesis": "text-to-speech",
    "voice cloning": "voice-cloning",
    "music generation": "text-to-audio",
    "audio classification": "audio-classification",
    "sentiment analysis": "text-classification",
    "text classification": "text-classification",
    "text summarization": "summarization",
    "language translation": "translation",
    "question answering": "question-answering",
    "document analysis": "document-question-answering",
    "text generation": "text-generation",
    "text analysis": "text-generation",
    "chatbots": "text-generation",
    "visual qa": "visual-question-answering",
    "object detection": "object-detection",
    "face recognition": "object-detection",
    "pose estimation": "keypoint-detection",
    "ocr": "optical-character-recognition",
    "image segmentation": "image-segmentation",
    "code generation": "code-generation",
    "video generation": "text-to-video",
    "3d modeling": "image-to-3d",
    "time series forecasting": "time-series-forecasting",
}
