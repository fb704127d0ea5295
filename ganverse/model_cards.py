"""Model cards as on the Hugging Face hub, from the JSON cards of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

# By architecture (or class) of the network: pipeline tag of the hub, what the network does, how to load it.
_KINDS = {
    "inverse-graphics": (
        "image-to-3d",
        "predicts a textured mesh and the camera from one image (section 3). No 3D data were used in training.",
        "from ganverse import Reconstructor\n\n"
        'Reconstructor.from_pretrained("OWNER/NAME")("photo.jpg").save("object.glb")',
    ),
    "stylegan-r": (
        "image-to-image",
        "renders an image from camera, shape, texture and background (StyleGAN-R, section 4).",
        'from ganverse import StyleGANR\n\nrenderer = StyleGANR.from_pretrained("OWNER/NAME")',
    ),
    "SegmenterNetwork": ("image-segmentation", "segments the main object of an image (section 2).", ""),
    "PoseRegressor": ("image-feature-extraction", "predicts pose, proportions and color of cars.", ""),
}
_GENERATOR = (
    "unconditional-image-generation",
    "synthesizes images of one category (section 2).",
    'from ganverse import load_generator\n\ngenerator, card = load_generator("hf://OWNER/NAME")',
)
_TRAINING = ("trained_on", "generator", "category", "images_seen", "source", "notes", "sha256")


def model_card(name: str, facts: Mapping[str, Any]) -> str:
    """README.md of a hub repository with the weights NAME.safetensors; facts: contents of their JSON card."""
    tag, purpose, code = _KINDS.get(str(facts.get("architecture", facts.get("network"))), _GENERATOR)
    scores = {key: score for key, score in facts.get("evaluation", {}).items() if isinstance(score, Mapping)}
    scores |= {key: {"value": facts[key]} for key in facts if key.startswith(("held_out_", "left_out_"))}
    terms = str(facts.get("license") or "not stated")
    header: dict[str, Any] = {
        "license": {"Apache-2.0": "apache-2.0", "not stated": "unknown"}.get(terms, "other"),
        "library_name": "ganverse",
        "pipeline_tag": tag,
        "tags": ["ganverse", "ganverse3d"],
    }
    if scores:
        metrics = [{"type": key, "value": score["value"]} for key, score in scores.items()]
        samples = {"type": "held-out", "name": "held-out samples"}
        header["model-index"] = [
            {"name": name, "results": [{"task": {"type": tag}, "dataset": samples, "metrics": metrics}]}
        ]
    training = [
        f"- {key.replace('_', ' ')}: {facts[key]}" for key in _TRAINING if isinstance(facts.get(key), str | int)
    ]
    rows = [f"| `{key}` | {score['value']:.4g} | {_interval(score)} |" for key, score in scores.items()]
    sections = {
        f"# {name}": f"This network {purpose} Please cite [GANverse3D](https://arxiv.org/abs/2010.09125).",
        "## Use": f"```python\n{code}\n```" if code else "",
        "## Training": "\n".join(training),
        "## Results": "| number | value | 95 % interval |\n|---|---|---|\n" + "\n".join(rows) if rows else "",
        "## Limits": "Objects and viewpoints that the training images do not show give wrong results.",
        "## License": terms,
    }
    text = "\n\n".join(f"{title}\n\n{body}" for title, body in sections.items() if body)
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{text}\n"


def _interval(score: Mapping[str, float]) -> str:
    low, high = score.get("low"), score.get("high")
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
