"""The words of the page, in English and Chinese."""

from __future__ import annotations

ENGLISH = {
    "prompt": "Prompt",
    "prompt_hint": "What should the picture show?",
    "size": "Size",
    "seed": "Seed",
    "seed_hint": "-1 draws one by lot",
    "dice": "Random seed",
    "generate": "Generate",
    "picture": "Picture",
    "seed_used": "Seed of this picture",
    "ahead": "Jobs ahead of yours: {count}",
    "steps": "Drawing",
    "no_prompt": "Please write what the picture should show.",
}
CHINESE = {
    "prompt": "提示词",
    "prompt_hint": "你想画什么？",  # noqa: RUF001
    "size": "尺寸",
    "seed": "种子",
    "seed_hint": "-1 表示随机",
    "dice": "随机种子",
    "generate": "生成",
    "picture": "图片",
    "seed_used": "这张图片的种子",
    "ahead": "前面还有 {count} 个任务",
    "steps": "正在绘制",
    "no_prompt": "请描述你想画的内容。",
}
TRANSLATIONS = {"en": ENGLISH, "zh-CN": CHINESE, "zh-TW": CHINESE}


def texts_for(accept_language: str) -> dict[str, str]:
    """Return the words for the first language of an Accept-Language header."""
    return CHINESE if accept_language.strip().lower().startswith("zh") else ENGLISH
