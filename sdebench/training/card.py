"""What is told beside the weights of a trained network."""

from typing import Any

from sdebench.data import Images
from sdebench.training.recipe import Recipe

_DATA = {
    "digits": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, CC BY 4.0",
    "cifar10": "CIFAR-10, A. Krizhevsky 2009, published for research without a licence of its own",
    "cifar10-jpeg75": "CIFAR-10, A. Krizhevsky 2009, published for research without a licence of its own; its images here are "
    "JPEG of quality 75 with halved chroma, so that no figure compares with those of the original",
}


def card(name: str, recipe: Recipe, data: Images, figures: dict[str, float]) -> dict[str, Any]:
    """Name, data with its hash, recipe, validation figures and licence."""
    source = _DATA.get(data.name, "see the data's own licence")
    return {
        "name": name,
        "shape": list(data.shape),
        "data": {"name": data.name, "sha256": data.sha256},
        "recipe": recipe.plain(),
        "figures": figures,
        "licence": f"weights: that of sdebench (MIT); trained on {source}",
    }
