"""The words of a name or label in English; known Chinese words are translated (pure)."""

from __future__ import annotations

import re

# What Chinese pages call their boxes and buttons, with the English words that `prompt` and `choose` know.
_CHINESE = {
    "提示": "prompt", "消息": "message", "查询": "query", "问题": "question", "提问": "question",
    "文本": "text", "文字": "text", "输入": "input", "指令": "instruction", "句子": "sentence",
    "文档": "document", "内容": "content", "描述": "description", "主题": "topic",
    "负面": "negative", "负向": "negative", "反向": "negative", "系统": "system", "历史": "history",
    "密钥": "key", "可选": "optional", "上下文": "context", "原文": "source", "答案": "answer",
    "清空": "clear", "清除": "clear", "重置": "reset", "取消": "cancel", "停止": "stop", "刷新": "refresh",
    "撤销": "undo", "重试": "retry", "删除": "delete", "保存": "save", "隐藏": "hide", "导出": "export",
    "生成": "generate", "提交": "submit", "发送": "send", "运行": "run", "开始": "start",
    "翻译": "translate", "识别": "recognize", "分析": "analyze", "转换": "convert", "总结": "summarize",
}  # fmt: skip


def words_in(name: str) -> list[str]:
    """Its words in lower case: "negativePrompt" and "负面提示词" have "negative" and "prompt"."""
    latin = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    if name.isascii():
        return latin
    return [*latin, *(english for chinese, english in _CHINESE.items() if chinese in name)]


def unnumbered(name: str) -> str:
    """The name without digits and spaces, in lower case: what "文本 1" and "文本 2" have in common."""
    return re.sub(r"[\d\s]+", "", name).lower()
