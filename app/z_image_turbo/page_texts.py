"""The words of the page, in English and Chinese."""

# ruff: noqa: RUF001 - Chinese punctuation
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from z_image_turbo.errors import ServiceError

Texts = dict[str, str]

ENGLISH: Texts = {
    "prompt": "Prompt",
    "prompt_hint": "What should the picture show?",
    "examples": "For example",
    "generate": "Draw",
    "generate_hint": "Ctrl + Enter",
    "cancel": "Cancel",
    "ratio": "Shape",
    "free": "Free",
    "width": "Width",
    "height": "Height",
    "count": "Pictures",
    "seed": "Seed",
    "seed_hint": "-1 draws one by lot",
    "dice": "Random seed",
    "advanced": "More settings",
    "steps": "Steps",
    "steps_hint": "More steps take longer and may show more detail.",
    "source": "Start from a picture",
    "source_picture": "Picture to start from",
    "strength": "Change",
    "strength_hint": "How much of it may change: a little keeps its layout, 1 keeps nothing.",
    "welcome": "Describe a picture, and it appears here.",
    "waiting": "Waiting",
    "ahead": "jobs ahead of yours: {count}",
    "eta": "about {seconds} s",
    "drawing": "Drawing, step {step} of {steps}",
    "preview": "Unfinished picture",
    "cancelled": "Cancelled. Nothing was drawn.",
    "failed": "This did not work",
    "broken": "Something went wrong; the log of the service tells what.",
    "gallery": "This session",
    "download": "Download",
    "use_seed": "Use seed",
    "use_prompt": "Use prompt",
    "start_from": "Start from it",
    "show": "Show the picture with seed {seed}",
    "gone": "That picture is gone.",
    "no_prompt": "Please write what the picture should show.",
    "no_source": "The picture to start from must be a PNG, JPEG or WebP of at most {pixels} million pixels.",
    "retry": "Try again in {seconds} s.",
}
CHINESE: Texts = {
    "prompt": "提示词",
    "prompt_hint": "你想画什么？",
    "examples": "例如",
    "generate": "生成",
    "generate_hint": "Ctrl + Enter",
    "cancel": "取消",
    "ratio": "画幅",
    "free": "自由",
    "width": "宽",
    "height": "高",
    "count": "张数",
    "seed": "种子",
    "seed_hint": "-1 表示随机",
    "dice": "随机种子",
    "advanced": "更多设置",
    "steps": "步数",
    "steps_hint": "步数越多，用时越长，细节可能越丰富。",
    "source": "从一张图片开始",
    "source_picture": "起始图片",
    "strength": "变化程度",
    "strength_hint": "数值小则保留原图构图，1 则完全重画。",
    "welcome": "描述你想要的画面，图片会出现在这里。",
    "waiting": "排队中",
    "ahead": "前面还有 {count} 个任务",
    "eta": "大约 {seconds} 秒",
    "drawing": "正在绘制，第 {step} 步，共 {steps} 步",
    "preview": "尚未完成的图片",
    "cancelled": "已取消，没有生成图片。",
    "failed": "没有成功",
    "broken": "出了问题，原因见服务日志。",
    "gallery": "本次作品",
    "download": "下载",
    "use_seed": "用此种子",
    "use_prompt": "用此提示词",
    "start_from": "以此图开始",
    "show": "显示种子为 {seed} 的图片",
    "gone": "这张图片已不存在。",
    "no_prompt": "请描述你想画的内容。",
    "no_source": "无法读取起始图片：请使用不超过 {pixels} 百万像素的 PNG、JPEG 或 WebP。",
    "retry": "请在 {seconds} 秒后重试。",
}
LANGUAGES = {"en": ENGLISH, "zh": CHINESE}
TRANSLATIONS = {"en": ENGLISH, "zh-CN": CHINESE, "zh-TW": CHINESE}

# Of what goes wrong: the words by which `errors` names it.
ERRORS: dict[str, tuple[str, str]] = {
    "queue_full": ("Too many people are drawing at the moment.", "当前排队的人太多。"),
    "caller_queue_full": (
        "Too many of your own pictures are waiting; let some of them end first.",
        "你有太多图片在排队，请先等其中一些完成。",
    ),
    "rate_limit_exceeded": ("That was too fast.", "请求过于频繁。"),
    "model_loading": ("The model is still being loaded.", "模型仍在加载。"),
    "paused": ("This instance is paused for maintenance.", "该实例正在维护，暂不接受任务。"),
    "shutting_down": ("This instance is shutting down.", "该实例正在关闭。"),
    "instance_failed": ("The instance has failed and is being restarted.", "该实例出现故障，正在重启。"),
    "no_capacity": ("No instance can take the job at the moment.", "目前没有可用的实例。"),
    "out_of_memory": (
        "The graphics card has not enough memory for this; try a smaller size or fewer pictures.",
        "显存不足，请减小尺寸或张数。",
    ),
    "broken_picture": ("The picture came out broken; try another seed.", "图片损坏，请换一个种子。"),
    "job_failed": ("The picture could not be made.", "图片生成失败。"),
    "cancelled": (ENGLISH["cancelled"], CHINESE["cancelled"]),
}


def language_of(accept_language: str) -> str:
    """Return the language, `en` or `zh`, for the first one of an Accept-Language header."""
    return "zh" if accept_language.strip().lower().startswith("zh") else "en"


def texts_for(accept_language: str) -> Texts:
    """Return the words for the first language of an Accept-Language header."""
    return LANGUAGES[language_of(accept_language)]


def say(error: ServiceError, texts: Texts) -> str:
    """Return what went wrong, in words for people.

    What has no words of its own, such as a value outside its limits, is told as the service tells it.
    """
    known = ERRORS.get(error.word)
    message = error.message if known is None else known[0 if texts is ENGLISH else 1]
    if error.retry_after_seconds:
        message += (" " if texts is ENGLISH else "") + texts["retry"].format(
            seconds=error.retry_after_seconds
        )
    return message
