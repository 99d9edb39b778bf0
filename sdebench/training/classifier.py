"""The classifier of a data set, whose penultimate features are a feature space for distances."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdebench.data import Images, to_state
from sdebench.networks import classifier, features
from sdebench.training.batches import augmented, indices
from sdebench.training.card import card
from sdebench.training.recipe import Recipe


class Labels:
    """The task: tell the class, by cross-entropy."""

    def __init__(self, recipe: Recipe, data: Images, device: str = "cpu"):
        self.recipe, self.data, self.device = recipe, data, device
        self.train, self.labels = data.train.to(device), data.train_labels.to(device)

    def network(self) -> nn.Module:
        """A new network, its weights a function of the recipe's seed."""
        torch.manual_seed(self.recipe.seed)
        return classifier.make(self.data.shape, self.data.classes, self.recipe.network)

    def loss(self, net: nn.Module, step: int) -> Tensor:
        """The loss of the batch of a step."""
        chosen = indices(len(self.train), self.recipe, step).to(self.device)
        x = augmented(to_state(self.train[chosen]), self.recipe, step)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.autocast):
            logits = net(x)
        return nn.functional.cross_entropy(logits.float(), self.labels[chosen], label_smoothing=0.05)

    @torch.no_grad()
    def validate(self, net: nn.Module) -> dict[str, float]:
        """Error rate and cross-entropy on the held-out images."""
        logits = torch.cat([net(to_state(part).to(self.device)).float().cpu() for part in self.data.test.split(500)])
        wrong = (logits.argmax(1) != self.data.test_labels).double().mean()
        return {"validation": float(nn.functional.cross_entropy(logits, self.data.test_labels)), "error rate": float(wrong)}

    def card(self, figures: dict[str, float]) -> dict[str, Any]:
        """What a reader of the weights must know."""
        return card(f"features-{self.data.name}", self.recipe, self.data, figures) | {"classes": self.data.classes}

    def save(self, folder: Path, net: nn.Module, figures: dict[str, float]) -> Path:
        """Write the network's folder: weights in float16, the card, and the data's statistics."""
        classifier.save(folder, net, self.card(figures))
        features.save_reference(folder, self.data)
        return folder

    def picture(self, folder: Path, net: nn.Module, step: int) -> None:
        """Nothing to paint."""
